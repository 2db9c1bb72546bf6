"""Words that name nobody by themselves: those of the field, of offices and parts of the world, and legal forms of companies.

"Ministry" or "attack" as an entity would tie every incident to every text. A name of several words may hold them (Ministry of Sound).
"""

from __future__ import annotations

_GENERIC = (
    "access account accounts activists actor actors adversary africa african agencies agency airport america american anonymous app "
    "apps april apt arab army asia asian attack attacked attackers attacks august authorities authority backdoor bank banks botnet "
    "breach breached campaign campaigns center central centre city cloud committee companies company compromise computer computers "
    "council country court credentials crime criminal critical cyber cyberattack cyberattacks cybersecurity data database ddos "
    "december deface defaced defacement defence defense denial department device devices digital diplomats disruption distributed "
    "documents dos doxing east eastern election elections electoral email emails embassy employees energy espionage europe european "
    "exploit exploited exposed february federal file files finance financial firm firms flaw forces foreign friday global government "
    "governmental governments group groups hack hacked hacker hackers hacking hacks health hijack hijacking hospital hospitals "
    "incident incidents industry info information infrastructure institute institutions intelligence internet intrusion ip islamic "
    "january july june known leak leaked leaks local login mail mails malware march may media members military minister ministries "
    "ministry misuse mobile monday multiple national network networks new news north northern november october office officials "
    "online operation operations organisation organisations organization organizations page pages parliament party password passwords "
    "penetrated penetration personal phishing police political power president private public ransomware regional registration report "
    "republic saturday secret sector sectors security september server servers service services site sites social software south "
    "southern spear spearphishing spy spying spyware state state-sponsored states steal steals stolen sunday system systems target "
    "targeted targeting targets tech technology telecom telecommunication theft threat thursday trojan tuesday twitter union united "
    "university unknown user users various version virus vs vulnerability water web website websites wednesday west western wiper "
    "world worm inc ltd llc corp corporation gmbh plc pjsc oao ooo"
)
GENERIC = frozenset(_GENERIC.split())
"""Folded words that are no entity alone and no distinctive word of a name."""
