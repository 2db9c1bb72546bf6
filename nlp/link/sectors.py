"""Sectors as texts and incidents name them, and whether a text speaks of attacks, leaks or failures: small tables of words.

They are for telling what a narrative is about, in twelve languages.

Each entry is the beginning of a folded word (`greyzone.text.fold`: Cyrillic in Latin letters, no diacritics), so that cases and plurals
are met; one ending in ``.`` is the whole word. The table is meant to be precise rather than complete: a narrative in which no word of it
occurs is of an unknown sector, and says nothing. Words of a government or of politics in general are left out on purpose: in a political
corpus everything names them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from greyzone.text import fold, words

_TABLE = {
    # en de fr es it pl cs/sk ru/uk
    "elections": "election elector ballot. ballots. voter wahl waehl scrutin elezion wybor volb volic vyborakh vibori. viboriv. viborakh "
    "vybory. vyborov. vybori. vyboriv izbiratel",
    "energy": "energy. energie energia. energetik energetic electricit blackout. powergrid pipeline refiner oilfield nuclear. gazprom "
    "stromnetz kraftwerk kernkraft elektrowni elektraren elektroenerg elektrosta nefteprovod gazoprovod naftoprov rafiner petrol. "
    "petroleum. atomkraft blackoutu",
    "water": "water. waterworks sewage dam. wasserwerk wasserversorg aqueduc acueduct acquedott wodocia vodaren vodokanal vodosnabzh "
    "vodopostach",
    "health": "hospital health. healthcare medical. clinic. clinics. pharma vaccin covid krankenhaus gesundheit klinik impf hopital sante. "
    "vacuna salud. ospedal sanita. szpital zdrowi szczepi nemocni zdravot bolnits bolnic likarn medits medychn vaktsin",
    "finance": "bank. banks. banking. banker bankomat atm. swift. bourse. sparkass banque banco. bancos. banca. banche. bankow bankovn "
    "stockexchange cryptocurr kryptow bitcoin. birzh banki. bankov. sberbank privatbank",
    "military": "military. army. navy. airforce soldier troops. nato. militaer bundeswehr soldat armee. armada. ejercit esercit wojsko. "
    "wojsk armia. armii. armad vojak vojensk voenn voyenn viyskov armiya soldato",
    "media": "newspaper broadcaster journalis television. zeitung rundfunk redaktion journaux periodic giornal gazeta. dziennikar "
    "novinar telekanal telebachen zhurnalist telewizj",
    "telecoms": "telecom broadband. telefon. mobilfunk telekom telekomunik operateurtelecom kyivstar rostelecom vodafone.",
    "transport": "airport airline railway. railways. railroad. subway. seaport. shipping. flughafen bahnhof eisenbahn bahn. aeroport "
    "ferroviaire ferrocarril ferrovi lotnisk kolej. kolejow letist zeleznic aeroporty zheleznodorozh zalizny aviakompan",
    "education": "university. universities. school. schools. student universitaet hochschul schule. universit universidad uczelni "
    "univerzit universitet shkol",
    "sport": "olympic doping wada. athlete olympi dopage dopaj olimpi sportler sportif deportist atlet sportowc sportovc sportsmen "
    "antidoping dopingu",
}

_OF_INCIDENTS = {
    # Words of the sources' own categories, besides those above.
    "elections": "election",
    "energy": "energy. electric oil. gas. nuclear. utilities.",
    "water": "water. wastewater.",
    "health": "health hospital medical pharma",
    "finance": "financ bank cryptocurr",
    "military": "military. defense defence",
    "media": "media. journalist broadcasting. newspaper",
    "telecoms": "telecom communications. digital.",
    "transport": "transport aviation. rail airline maritime.",
    "education": "education university research. academi school",
    "sport": "sport olympic",
}

_SUBJECT = (
    "hack cyber ciber kyber kiber khaker haker leak breach ddos malware ransomware phish wiper spyware trojan. botnet doxx doxed deface "
    "outage. outages. blackout. blackouts. intrusion. gehackt geleakt datenleck hackerangriff piratage fuite. hacke filtraci filtrado "
    "trapelat violazione wyciek wlaman zhakowan unik. uniku. napaden vzlom vzlam zlam zlaman vytik vytok vitik. vitoku utechk slivy. sliv. "
    "slil. zlyv zliv. virus. virusy. vykradn kradizh vymagach shifroval dumped. exfiltrat vulnerabilit"
)
"""Beginnings of words for attacks on systems, leaks and failures of systems."""

SUBJECT = "attack"
SECTORS = tuple(_TABLE)
"""Sectors in the order of their columns."""

TOPICS = (*SECTORS, SUBJECT)
"""What `topics_of` may give: the sectors, and whether attacks, leaks or failures are spoken of."""

LANGUAGES = ("be", "bg", "cs", "de", "en", "es", "fr", "it", "pl", "ru", "sk", "uk")
"""Languages of the words; of a text in another one nothing is known."""

_LENGTHS = (3, 14)


def _prefixes(table: dict[str, str]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for sector, listed in table.items():
        for entry in listed.split():
            found.setdefault(entry, set()).add(sector)
    return {entry: frozenset(sectors) for entry, sectors in found.items()}


_WORDS = _prefixes(_TABLE)
_CODES = _prefixes(_OF_INCIDENTS)
_TOPICS = _prefixes(_TABLE | {SUBJECT: _SUBJECT})


def topics_of(folded: Iterable[str]) -> frozenset[str]:
    """Return the topics that folded words of a text name."""
    return frozenset(topic for word in folded for topic in _topics_of(word))


def sectors_of_code(code: str) -> frozenset[str]:
    """Return the sectors that a source's own category names ("critical infrastructure; energy": energy)."""
    return frozenset().union(*(_look(fold(word), _CODES) | _look(fold(word), _WORDS) for word in words(code)))


@lru_cache(maxsize=1 << 17)
def _topics_of(word: str) -> frozenset[str]:
    return _look(word, _TOPICS)


def _look(word: str, table: dict[str, frozenset[str]]) -> frozenset[str]:
    if whole := table.get(word + "."):
        return whole
    for length in range(min(len(word), _LENGTHS[1]), _LENGTHS[0] - 1, -1):
        if found := table.get(word[:length]):
            return found
    return frozenset()
