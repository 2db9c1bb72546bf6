"""What is written in an invented world: descriptions of incidents as a register words them, and posts and reports as people word them.

An incident is a technique against an organisation; the register tells it in one sentence of its own. A story about it tells the deed in
other words, names the organisation or only its sort ("a hospital"), and adds what the kind of story adds: an official's word (reports),
blame and alarm (exploits), what leaked papers show (enabled-by), a warning beforehand (prepares). Stories that no incident is behind are
about the same organisations, states and techniques. All names are invented but those of states.
"""

from __future__ import annotations

from dataclasses import dataclass

from greyzone.eval.scenario.templates import Draws

STATES = (
    ("EE", "Estonia"),
    ("LV", "Latvia"),
    ("LT", "Lithuania"),
    ("PL", "Poland"),
    ("DE", "Germany"),
    ("FR", "France"),
    ("UA", "Ukraine"),
    ("NL", "Netherlands"),
    ("CZ", "Czechia"),
    ("SE", "Sweden"),
)

SORTS = {
    "energy": ("power company", "gas network", "heating utility"),
    "health": ("hospital", "clinic group", "medical laboratory"),
    "transport": ("rail operator", "airport", "ferry company"),
    "finance": ("savings bank", "payment processor", "insurer"),
    "water": ("water utility", "sewage works", "reservoir authority"),
    "elections": ("voter register", "electoral office", "results portal"),
    "telecommunications": ("mobile operator", "cable network", "internet exchange"),
    "education": ("university", "school network", "library system"),
    "media": ("broadcaster", "newspaper group", "news agency"),
    "public administration": ("tax portal", "land registry", "town hall network"),
}
"""Sorts of organisations by sector."""

HARM = {
    "energy": ("homes stayed dark", "streets had no light all night", "radiators went cold"),
    "health": ("operations were called off", "ambulances were sent elsewhere", "patients waited in corridors"),
    "transport": ("travellers slept on benches", "nothing left on time", "ticket halls were packed"),
    "finance": ("cards were refused in shops", "people could not reach their savings", "cash machines stood empty"),
    "water": ("families boiled what came from the tap", "pressure fell in whole districts", "tankers brought drinking water"),
    "elections": ("nobody trusts the lists of voters now", "the count was put off", "names of the dead were on the rolls"),
    "telecommunications": ("calls broke off", "phones had no signal", "half the country was offline"),
    "education": ("exams were put off", "pupils were sent home", "marks were gone"),
    "media": ("screens went black", "the evening news fell out", "the presses stood still"),
    "public administration": ("offices shut their counters", "papers could not be issued", "citizens queued in vain"),
}
"""What came of it, as a story tells."""

REGISTER = {
    "ransomware": "Ransomware{malware} encrypted file servers of the {sort} {org} in {state}; services ran on paper for {n} days.",
    "wiper": "A wiper{malware} erased workstations of the {sort} {org} in {state}; rebuilding took {n} days.",
    "ddos": "A denial-of-service attack made the public pages of the {sort} {org} in {state} unreachable for {n} hours.",
    "data theft": "Intruders copied {n} thousand records from the {sort} {org} in {state} and kept access for weeks.",
    "doxing": "Internal mail of the {sort} {org} in {state} was taken and published in {n} instalments.",
    "defacement": "The public site of the {sort} {org} in {state} showed foreign slogans for {n} hours.",
    "disruption": "Intruders{malware} changed settings in control systems of the {sort} {org} in {state}; staff switched to manual work.",
}
"""How a register of incidents words a technique."""

DEEDS = {
    "ransomware": (
        "hackers locked every computer of {who} and want money",
        "extortionists hold the machines of {who} to ransom",
        "{who} is being blackmailed after its files were scrambled",
    ),
    "wiper": (
        "somebody wiped the computers of {who} clean",
        "all hard disks at {who} were erased overnight",
        "malicious code destroyed the systems of {who}",
    ),
    "ddos": (
        "the website of {who} was knocked offline by a flood of junk traffic",
        "a botnet took down the online services of {who}",
        "{who} was swamped with fake requests until its pages fell over",
    ),
    "data theft": (
        "hackers walked off with the data of {who}",
        "personal records were stolen from {who}",
        "the database of {who} is in the hands of thieves",
    ),
    "doxing": (
        "hackers published the private mail of {who}",
        "the inbox of {who} was dumped on the internet",
        "internal letters of {who} were stolen and put online",
    ),
    "defacement": (
        "the home page of {who} was replaced by foreign slogans",
        "vandals scrawled propaganda over the site of {who}",
        "hackers changed the web page of {who}",
    ),
    "disruption": (
        "hackers turned the controls of {who} against it",
        "somebody tampered with the machinery of {who} from afar",
        "the plant of {who} was sabotaged through the network",
    ),
}
"""How people word it; {who} is the organisation."""

FRAMES = {
    "reports": (
        "Officials confirm that {deed}.",
        "{Deed}, the ministry said on Tuesday.",
        "Investigators look into how {deed}.",
        "What we know so far: {deed}. {Harm}.",
        "{Harm} after {deed}, a spokesman told reporters.",
    ),
    "exploits": (
        "{Deed}, and the government lies about how bad it is!",
        "{Harm}. This is what you get from a state that cannot protect anything.",
        "They will not tell you that {deed}. Resign, all of you!",
        "First {deed}, next it is your money. Nobody in charge cares.",
        "{Deed} and not one minister has stepped down. {Harm}!",
    ),
    "enabled-by": (
        "Leaked files of {who} show what they said behind our backs.",
        "Read the hacked emails of {who}: bribes, lies, contempt for the people.",
        "The stolen documents prove that {who} knew all along.",
        "Part two of the email dump from {who} is out. Share before it is deleted!",
        "What the leak reveals about {who} should end careers.",
    ),
    "prepares": (
        "{Who} is rotten and everybody inside knows that it will break soon.",
        "Do not trust {who}. Take your things elsewhere before it fails.",
        "Insiders warn: {who} has no idea how to protect itself.",
        "When {who} collapses do not say that you were not told.",
        "How long can {who} go on like this? Weeks at most.",
    ),
    "elsewhere": (
        "Officials confirm that {deed}.",
        "{Deed}, and nobody says anything!",
        "What we know so far: {deed}. {Harm}.",
        "They will not tell you that {deed}.",
    ),
    "organisation": (
        "Staff of {who} walk out over pay for the third time.",
        "{Who} gets a new director and a bigger budget.",
        "Customers complain about the queues at {who}.",
        "{Who} opens a new building next spring, neighbours are not amused.",
        "Unions and managers of {who} talk through the night.",
    ),
    "technique": (
        "Experts warn: more and more companies are attacked by hackers, few are ready.",
        "Ten tips against extortion on the internet: back up your files, update, do not click.",
        "Insurers raise prices for cover against attacks on computers.",
        "Parliament debates a law on the security of networks.",
        "A conference on botnets, leaks and stolen data opens today.",
    ),
}
"""Kinds of stories: about an incident (the first four), about one that no list has, about an organisation, about the subject at large."""

SUBJECTS = (
    ("the football team", ("wins in extra time", "loses at home again", "sacks its coach", "sells its best striker")),
    (
        "the price of bread",
        ("rises once more", "is twice what it was", "makes pensioners despair", "is the bakers' fault, says the minister"),
    ),
    ("the coalition", ("quarrels about pensions", "is close to breaking", "agrees on a budget at dawn", "hides its own polls")),
    ("the farmers", ("block the motorway", "dump milk before the parliament", "want higher subsidies", "get a hearing at last")),
    ("the summer storm", ("tears roofs off", "floods the valley", "cuts off three villages", "was not forecast")),
    ("the border", ("is closed for a week", "sees long queues of lorries", "gets a new fence", "is open again")),
    ("the song contest", ("ends in a scandal", "has a surprise winner", "is rigged, fans say", "moves to the capital")),
    ("the new vaccine", ("arrives late", "is not trusted in the villages", "is free for the elderly", "divides the doctors")),
    ("the army", ("holds its yearly exercise", "buys tanks abroad", "lacks boots and blankets", "calls up its reserve")),
    ("the motorway bridge", ("is closed for repairs", "has cracks, engineers say", "costs twice as much", "opens a year late")),
)
"""What people talk of without any incident: who, and what."""

ENDINGS = ("", "", "", " Spread the word.", " More to come.", " Thoughts?", " Enough is enough.", " Source: local press.", " Read on.")


@dataclass(frozen=True, slots=True)
class Topic:
    """What a story may name: an organisation with its sort, sector and state, a technique, malware, actor, domain (each may be "")."""

    organisation: str
    sort: str
    sector: str
    state: str
    technique: str
    malware: str = ""
    actor: str = ""
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Naming:
    """Share of the documents of a story that name each thing of its topic."""

    organisation: float = 0.0
    malware: float = 0.0
    actor: float = 0.0
    state: float = 0.0
    domain: float = 0.0


def register_text(topic: Topic, draws: Draws) -> str:
    """Return the sentence of a register of incidents."""
    malware = f" {topic.malware}" if topic.malware else ""
    frame = REGISTER[topic.technique]
    text = frame.format(malware=malware, sort=topic.sort, org=topic.organisation, state=topic.state, n=2 + draws.below(40))
    return text + (f" The trace led to {topic.domain}." if topic.domain else "")


def story_text(kind: str, topic: Topic, naming: Naming, draws: Draws) -> str:
    """Return one document of a story of a kind."""
    article = "an" if topic.sort[0] in "aeiou" else "a"
    who = topic.organisation if topic.organisation and draws.unit() < naming.organisation else f"{article} {topic.sort}"
    if topic.state and draws.unit() < naming.state:
        who = f"{who} in {topic.state}"
    deed = draws.pick(DEEDS[topic.technique]).format(who=who)
    harm = draws.pick(HARM[topic.sector])
    text = draws.pick(FRAMES[kind]).format(who=who, Who=_capital(who), deed=deed, Deed=_capital(deed), harm=harm, Harm=_capital(harm))
    if topic.malware and draws.unit() < naming.malware:
        text += f" The tool is called {topic.malware}."
    if topic.actor and draws.unit() < naming.actor:
        text += f" {topic.actor} is said to be behind it."
    if topic.domain and draws.unit() < naming.domain:
        text += f" See {topic.domain} for it."
    return text + draws.pick(ENDINGS)


def subject_text(subject: int, state: str, named: float, draws: Draws) -> str:
    """Return one document on an everyday subject, which names the state in a share of cases."""
    who, acts = SUBJECTS[subject]
    where = f" in {state}" if state and draws.unit() < named else ""
    return f"{_capital(who)}{where} {draws.pick(acts)}.{draws.pick(ENDINGS)}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
