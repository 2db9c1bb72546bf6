"""States in names and texts: ISO 3166-1 alpha-2 codes, in the languages that the corpora are written in.

Names come from ISO 3166-1 and its translations (`pycountry` ships them); adjectives, short forms and acronyms from `_ALIASES`.

Rules, each a trade of recall for precision:

- Words are compared folded (case and diacritics off, scripts kept). Phrases of several words win over single words.
- In inflecting languages a name of one word is matched by its stem: the name without up to two final vowels, at least six
  letters long (five in Cyrillic), followed by at most three letters (Ukrain-a, -y, -ie; Росси-я, -и, -ей). The longest stem wins.
- A word in lower case counts if an alias is written for it or the name (or stem) has at least six letters and is not in
  `AMBIGUOUS` ("turkey", "polish", "jordan" are words of their own: they need a capital).
- A state that is also a given name (Jordan, Chad, Georgia) does not count right before a capitalised word (Jordan Peele).
- Acronyms count in capitals alone ("US", "U.S.", "РФ"), and bare "US" not in a text that has no lower-case letter.
- URLs, @handles, compounds inside a hashtag (#StandWithUkraine) and scripts without word boundaries are not looked into.
- Alliances (NATO, EU) are no states. Kosovo is XK, the user-assigned code that the EU and others use.
"""

from __future__ import annotations

import gettext
import re
import unicodedata
from functools import cache, lru_cache
from typing import NamedTuple

import pycountry

LANGUAGES: tuple[str, ...] = (
    "en",
    "de",
    "fr",
    "es",
    "it",
    "pt",
    "nl",
    "pl",
    "cs",
    "sk",
    "ru",
    "uk",
    "be",
    "bg",
    "ro",
    "hr",
    "sl",
    "sr",
    "sv",
    "da",
    "nb",
)
LANGUAGES += ("fi", "et", "lv", "lt", "hu", "tr", "el", "ar")
"""Languages whose names of states are known, in the order in which they win a clash."""

INFLECTING = frozenset({"pl", "cs", "sk", "ru", "uk", "be", "bg", "hr", "sl", "sr", "lt", "lv", "et", "fi", "hu"})

_AMBIGUOUS = """
turkey georgia jordan chad jersey guinea guinee niger mali oman cuba china polish danish finnish swede swiss ungern guernsey indie panama
montserrat grenada dominica martinique kuba bermuda malta macedonia gaza chin chino chinos cina japon katar polen rusa rusko ruska brasil
holland polska burma yemeni inde irak suede argentine monaco jamaica ecuador salvador equateur liberia belge belgen colombo malaise
austral grenade curacao morocco americano americana paraguas polaca ciprus mongol slovena
"""
AMBIGUOUS = frozenset(_AMBIGUOUS.split())
"""Folded names that are also ordinary words or given names: they count with a capital initial alone."""

_NEVER = frozenset({"reunion", "man", "island", "christmas"})
_GIVEN = frozenset({"jordan", "chad", "georgia"})
_INVERTED = frozenset({"BO", "FM", "IR", "LA", "LY", "MD", "MK", "PS", "RU", "SY", "TW", "TZ", "VE"})

# "XX:" starts a code; "word*" is a stem (at most four letters may follow), "_" joins the words of a phrase, capitals ask for capitals.
_ALIASES = """
RU: روسيا russia russian russians russland* russisch* russe russes russo russi russa ruso rusa rusos rusas rosja rosji rosje rosyjsk*
росси* российск* россиян* русск* росія росії росію росією російськ* росіян* rusko ruska rusku ruske rusky rusia rusa РФ российск*_федерац*
російськ*_федерац* russian_federation russische_foderation federation_de_russie federacj*_rosyjsk* UA: ukraine ukrainian ukrainians
ukrainisch* ukrainien* ucrain* ucranian* ukrain* украин* україн* украін* ucrania US: USA US united_states america american americans
etats_unis amerikanisch* americain* americano americana americani estadounidense* statunitense* estados_unidos stati_uniti
vereinigte*_staaten США ЗША соединенн*_штат* сполучен*_штат* stan*_zjednoczon* amerykansk* американск* американськ* EEUU EE_UU new_jersey
new_mexico new_hampshire GB: UK GB united_kingdom britain british briton britons england english_government scotland wales
northern_ireland great_britain grossbritannien* britisch* grande_bretagne royaume_uni britannique* reino_unido regno_unito gran_bretagna
gran_bretana britannic* wielk*_brytani* brytyjsk* великобритани* великобритані* велик*_британі* британск* британськ* DE: germany german
germans deutschland* deutsche* allemagne allemand allemande allemands allemandes alemania aleman alemana alemanes germania tedesco tedesca
tedeschi niemcy niemiec niemcom niemczech niemieck* germania германи* немецк* німеччин* німецьк* nemeck* nemecko FR: france french
frenchman frankreich* franzosisch* francais* francia frances francese francja francji francje francuz* francusk* франци* французск*
франці* французьк* PL: poland polish polnisch* polen polonais* pologne polonia polacco polacca polacchi polaco polaca polska polski polsce
polske polskie polskiego польш* польск* польщ* польськ* EE: estonia estonian estonians estland* estnisch* estonie estonien* estonsk*
эстони* эстонск* естоні* естонськ* eesti LV: latvia latvian latvians lettland* lettisch* lettonie letton* lotwa lotwy lotewsk* латви*
латвійськ* латышск* LT: lithuania lithuanian lithuanians litauen* litauisch* lituanie lituanien* litwa litwy litwie litewsk* литва литвы
литве литву литовск* литовськ* FI: finland finnish finnland* finnisch* finlande finlandais* finlandi* finsk* финлянд* финск* фінлянд*
фінськ* suomi SE: sweden swedish schweden schwedisch* suede suedois* szwecj* szwedzk* швеци* шведск* швеці* шведськ* NO: norway norwegian
norwegians norwegen norwegisch* norvege norvegien* norwegi* норвеги* норвежск* норвегі* DK: denmark danish danisch* danemark danois*
dunsk* дания дании данию данией датск* CZ: czech_republic czech czechs czechia tschechien* tschechisch* tcheque* czech czechy czesk* чехи*
чешск* чехі* ceska_republika republica_checa SK: slovakia slovak slovaks slovensko slowakei slowakisch* slovaquie slovaque* slowacj*
slowack* словаки* словацк* slovak_republic HU: hungary hungarian hungarians ungarn* ungarisch* hongrie hongrois* wegry wegrzech wegrami
wegrom wegier wegiersk* венгри* венгерск* угорщин* угорськ* RO: romania romanian romanians rumanien* rumanisch* roumanie roumain* rumuni*
rumunsk* румыни* румынск* румуні* BG: bulgaria bulgarian bulgarians bulgarien* bulgarisch* bulgarie bulgare bulgares bulgarii болгари*
болгарск* болгарі* MD: moldova moldovan moldovans moldau* moldavi* молдав* молдов* moldawi* BY: belarus belarusian belarusians belorussian
belorussia weissrussland* bielorussie bielorus* bialorus* белорус* білорус* беларус* GE: грузия грузии грузию грузией georgia georgian
georgians georgien georgisch* gruzj* gruzinsk* грузин* грузія грузії грузія AM: armenia armenian armenians armenisch* armenien* ormiansk*
армени* армянск* AZ: azerbaijan azerbaijani azeri azerbaijanis aserbaidschan* azerbajdzan* азербайджан* IT: italy italian italians
italien* italia italiano italiana italiani italienisch* wloch* wlosk* итали* итальянск* італі* італійськ* ES: spain spanish spanien
spanisch* espagne espagnol* espana espanol* spagna spagnolo spagnola hiszpani* hiszpansk* испани* испанск* іспані* PT: portugal portuguese
portugiesisch* portugais* португал* NL: netherlands dutch holland niederland* pays_bas hollande neerlandais* paises_bajos paesi_bassi
holandi* holendersk* нидерланд* голланд* нідерланд* BE: belgium belgian belgians belgien belgisch* belgique belge belges belgi* бельги*
бельгійськ* бельгі* AT: austria austrian austrians osterreich* autriche autrichien* austrii австри* австрійськ* австрі* CH: switzerland
swiss schweiz* suisse* suiza svizzer* szwajcar* швейцар* GR: greece greek greeks griechenland* griechisch* grece grecia grecj* греци*
греческ* греці* TR: turkey turkish turks turkiye turkei turkisch* turquie turc turcs turqui* turcj* tureck* турци* турецк* туреччин*
турецьк* IE: ireland irish irland* irlandais* ирланд* republic_of_ireland RS: serbia serbian serbians serbien serbisch* serbie serbe
serbes сербия сербии сербію сербі* сербск* HR: croatia croatian croatians kroatien kroatisch* croatie chorwac* хорвати* BA: bosnia bosnian
bosnians bosnien* bosnie bosnii боснія боснии босния bosnia_herzegovina MK: macedonia macedonian macedonians north_macedonia
former_yugoslav_republic_of_macedonia ME: montenegro montenegrin* черногор* чорногор* AL: albania albanian albanians albanii албани* XK:
kosovo kosovar kosovars kosova косово kosowo SI: slovenia slovenian slovenians slowenien slovenie словени* CY: cyprus cypriot cypriots
zypern chypre кипр CN: china chinese PRC chinas chinesisch* chine chinois* cina cinese cinesi chino chinos chiny chin chinsk* китай китая
китаю китаем китае китайск* китаєм китайськ* КНР peoples_republic_of_china people_s_republic_of_china TW: taiwan taiwanese taiwans
republic_of_china тайван* taiwan_province_of_china chinese_taipei HK: hong_kong hongkong hongkonger hongkongers KP: n_korea north_korea
north_korean north_koreans DPRK nordkorea* coree_du_nord corea_del_norte corea_del_nord kore*_polnocn* КНДР северн*_коре* північн*_коре*
democratic_people_s_republic_of_korea korea_democratic_people_s_republic_of korea_dpr korea_north KR: south_korea s_korea south_korean
south_koreans ROK sudkorea* coree_du_sud corea_del_sur corea_del_sud kore*_poludniow* южн*_коре* південн*_коре* republic_of_korea
korea_republic_of korea_south JP: japan japanese japanisch* japon japonais* giappone giapponese* japones* japoni* japonsk* япони* японск*
японі* японськ* IN: india indian indians indien indisch* inde индия индии индию индией індія індії індійськ* индийск* PK: pakistan
pakistani pakistanis pakistans пакистан* IR: iran iranian iranians irans iranisch* iranien* irani iraniano иран ирана ирану ираном иране
иранск* іран ірану іраном іранськ* iranu iransk* IQ: iraq iraqi iraqis irak irakisch* irakien* ирак ирака иракск* іраку irackie* SY: syria
syrian syrians syrien syrisch* syrie* siria siriano siriana syria syrii syryjsk* сирия сирии сирию сирией сирийск* сирія сирії сирійськ*
IL: israel israeli israelis israels israelisch* israelien* israelian* izrael* израил* ізраїл* PS: palestine palestinian palestinians gaza
west_bank palastina* palestin* палестин* palestinian_territories palestinian_authority LB: lebanon lebanese liban libanon libanes* ливан
ливана SA: saudi_arabia saudi saudis saudi_arabian saudi_arabien arabie_saoudite arabia_saudi* саудовск*_арави* saudyjsk* AE: UAE
united_arab_emirates emirati emiratis emirates ОАЭ ОАЕ QA: qatar qatari qataris katar катар катара YE: yemen yemeni yemenis jemen jemenu
йемен EG: egypt egyptian egyptians agypten* agyptisch* egypte egyptien* egipt* египет египта египетск* LY: libya libyan libyans libyen
libye libia ливия ливии AF: afghanistan afghan afghans afghanisch* afganistan* афганистан* афганістан* KZ: kazakhstan kazakh kazakhs
kasachstan* kazachstan* казахстан* UZ: uzbekistan uzbek uzbeks узбекистан* KG: kyrgyzstan kyrgyz kirghizistan киргизи* CA: canada canadian
canadians kanada kanadisch* canadien* kanadyjsk* канад* MX: mexico mexican mexicans mexiko mexique mexicain* meksyk* мексик* BR: brazil
brazilian brazilians brasil* bresil bresilien* brazyli* бразили* AR: argentina argentine argentinian argentines аргентин* VE: venezuela
venezuelan venezuelans venezuel* wenezuel* венесуэл* CO: colombia colombian colombians kolumbi* CU: cuba cuban cubans AU: australia
australian australians australisch* australi* австрали* NZ: new_zealand new_zealander VN: vietnam vietnamese vietnamesisch* вьетнам* ID:
indonesia indonesian indonesians индонези* PH: philippines philippine filipino filipinos филиппин* MM: myanmar burma burmese TH: thailand
thai thais таиланд* MY: malaysia malaysian malaysians SG: singapore singaporean KH: cambodia cambodian CD: DRC dr_congo
democratic_republic_of_the_congo democratic_republic_of_congo congo_kinshasa congo_democratic_republic_of_the CG: republic_of_the_congo
congo_brazzaville CI: ivory_coast ivorian NG: nigeria nigerian nigerians NE: nigerien niger ZA: south_africa south_african south_africans
sudafrika ET: ethiopia ethiopian ethiopians athiopien* KE: kenya kenyan kenyans SD: sudan sudanese MA: morocco moroccan moroccans maroc
DZ: algeria algerian algerians algerie TN: tunisia tunisian SN: senegal senegalese ML: malian TD: chadian JO: jordanian jordanians SZ:
swaziland CV: cape_verde TL: east_timor VA: vatican holy_see vatican_city LA: laos laotian BN: brunei FM: micronesia MO: macau macao GM:
the_gambia BS: the_bahamas MT: malta maltese malte LU: luxembourg luxemburg* IS: iceland icelandic
"""

_CONSUMED = ("Michael Jordan", "Jim Jordan", "Air Jordan", "Guinea pig", "Guinea pigs", "Turkey sandwich")
_TOKEN = re.compile(r"(?:https?://|www\.)\S+|@\w+|(?:[^\W\d_]\.){2,}|[^\W\d_]+")
_PLAIN = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "’": "'"})
_VOWELS = "aeiouyаеиоуыэюяьіє"


class _Entry(NamedTuple):
    """What a token may start: a state named by the token alone, and phrases as (further words, code)."""

    code: str | None
    phrases: tuple[tuple[tuple[str, ...], str], ...]


class _Tables(NamedTuple):
    names: dict[str, str]
    by_hand: frozenset[str]
    acronyms: dict[str, str]
    stems: dict[str, str]
    alias_stems: dict[str, str]
    phrases: dict[str, list[tuple[tuple[str, ...], str]]]
    display: dict[str, str]
    codes: dict[str, str]


def state_code(name: str) -> str | None:
    """Return the ISO 3166-1 alpha-2 code of a name, adjective, acronym, alpha-2 or alpha-3 code.

    Parameters
    ----------
    name
        One name on its own, as in a column of a table; two or three letters are read as a code in either case.

    Returns
    -------
    str or None
        None where the name is no state's (NATO, EU, "Unknown", a region).
    """
    tables = _tables()
    stripped = name.strip()
    short = stripped.replace(".", "").upper()
    if short in tables.acronyms:
        return tables.acronyms[short]
    if short in tables.codes:
        return tables.codes[short]
    whole = [_fold(token) for token in _TOKEN.findall(unicodedata.normalize("NFC", stripped))]
    if (code := tables.names.get(" ".join(whole))) is not None:
        return code
    words = [_fold(token) for token in _TOKEN.findall(unicodedata.normalize("NFC", re.sub(r"\(.*?\)", " ", stripped)))]
    if words and words[0] in {"the", "la", "le"} and len(words) > 1 and " ".join(words) not in tables.names:
        words = words[1:]
    joined = " ".join(words)
    if joined in tables.names:
        return tables.names[joined]
    found = find_states(" ".join(word.capitalize() for word in words)) if words else []
    spans = [code for code in found if _covers(words, code)]
    return spans[0] if len(found) == 1 and spans else None


def state_name(code: str) -> str:
    """Return the short English name of an alpha-2 code; a code that is not known comes back as it is."""
    return _tables().display.get(code.upper(), code)


def find_states(text: str) -> list[str]:
    """Return the alpha-2 codes of the states named in a text, in order of first mention, without repeats.

    Notes
    -----
    The rules stand at the top of this module. Words met before are looked up in a bounded memory, so that the cost is one
    tokenisation and one look-up a word.
    """
    tokens = _TOKEN.findall(text if text.isascii() else unicodedata.normalize("NFC", text))
    entries = [(at, entry) for at, entry in enumerate(map(_look, tokens)) if entry is not None]
    if not entries:
        return []
    found: dict[str, None] = {}
    done = -1
    for at, entry in entries:
        if at <= done:
            continue
        code, length = _longest(entry, tokens, at)
        if code is None or (length == 1 and _doubtful(tokens[at], text)):
            continue
        done = at + length - 1
        if code:
            found[code] = None
    return list(found)


def _doubtful(word: str, text: str) -> bool:
    """Tell whether a word that may name a state is rather a pronoun in a shouted text or the given name of a person."""
    if word == "US":
        return not any(map(str.islower, text))
    return word.casefold() in _GIVEN and re.search(rf"\b{word} [A-Z][a-z]", text) is not None


def _longest(entry: _Entry, tokens: list[str], at: int) -> tuple[str | None, int]:
    for words, code in entry.phrases:
        following = tokens[at + 1 : at + 1 + len(words)]
        if len(following) == len(words) and all(_agrees(word, token) for word, token in zip(words, following, strict=True)):
            return code, len(words) + 1
    return entry.code, 1


def _agrees(word: str, token: str) -> bool:
    folded = _fold(token)
    if word.endswith("*"):
        return folded.startswith(word[:-1]) and len(folded) <= len(word) + 3
    return folded == word


def _covers(words: list[str], code: str) -> bool:
    """Tell whether a name that is not in the table may stand for `code`: one inflected word, or a phrase found at its start."""
    entry = _look(words[0].capitalize())
    if entry is None:
        return False
    if len(words) == 1:
        return entry.code == code
    return _longest(entry, [word.capitalize() for word in words], 0) == (code, len(words))


@lru_cache(maxsize=1 << 18)
def _look(token: str) -> _Entry | None:
    if "://" in token or token[0] == "@" or token.startswith("www."):
        return None
    tables = _tables()
    plain = token.replace(".", "")
    folded = _fold(plain)
    phrases = list(tables.phrases.get(folded, ()))
    for end in range(3, len(folded) + 1):
        phrases += tables.phrases.get(folded[:end] + "*", ())
    code = tables.acronyms.get(plain) if plain.isupper() else None
    code = code or _single(plain, folded, tables)
    if code is None and not phrases:
        return None
    return _Entry(code, tuple(sorted(set(phrases), key=lambda item: (-len(item[0]), item))))


def _single(token: str, folded: str, tables: _Tables) -> str | None:
    lower = token[0].islower()
    if folded in _NEVER or (lower and folded in AMBIGUOUS):
        return None
    if folded in tables.names and (not lower or len(folded) >= 6 or folded in tables.by_hand):
        return tables.names[folded]
    for end in range(len(folded), 3, -1):
        stem = folded[:end]
        if stem in tables.alias_stems and len(folded) - end <= 4:
            return tables.alias_stems[stem]
        if stem in tables.stems and len(folded) - end <= 3 and (not lower or end >= 6):
            return tables.stems[stem]
    return None


@lru_cache(maxsize=1 << 16)
def _fold(word: str) -> str:
    folded = word.casefold().translate(_PLAIN)
    if folded.isascii():
        return folded
    return "".join(mark for mark in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(mark))


@cache
def _tables() -> _Tables:
    names: dict[str, str] = {}
    acronyms: dict[str, str] = {}
    alias_stems: dict[str, str] = {}
    phrases: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    by_hand: set[str] = set()
    for code, aliases in _alias_rows():
        for alias in aliases:
            words = [_fold(word) for word in alias.strip("_").split("_")]
            if len(words) > 1:
                names.setdefault(" ".join(words), code)
                phrases.setdefault(words[0], []).append((tuple(words[1:]), code))
            elif alias.strip("_").isupper():
                acronyms[alias.strip("_")] = code
            elif alias.endswith("*"):
                alias_stems.setdefault(words[0][:-1], code)
            else:
                names.setdefault(words[0], code)
                by_hand.add(words[0])
    stems: dict[str, str] = {}
    for language in LANGUAGES:
        for code, name in _translations(language):
            words = [_fold(token) for token in _TOKEN.findall(unicodedata.normalize("NFC", name))]
            key = " ".join(words)
            if not words or len(key) < 4:
                continue
            if len(words) > 1 and key not in names:
                phrases.setdefault(words[0], []).append((tuple(words[1:]), code))
            names.setdefault(key, code)
            if len(words) == 1 and key not in _NEVER and language in INFLECTING and len(stem := _stem(key)) >= (6 if key.isascii() else 5):
                stems.setdefault(stem, code)
    for phrase in _CONSUMED:
        first, *rest = (_fold(word) for word in phrase.split())
        phrases.setdefault(first, []).append((tuple(rest), ""))
    display = {country.alpha_2: getattr(country, "common_name", country.name) for country in pycountry.countries}
    display |= {"XK": "Kosovo", "RU": "Russia", "CD": "DR Congo", "CG": "Congo", "PS": "Palestine", "VA": "Holy See", "TR": "Turkey"}
    codes = {country.alpha_2: country.alpha_2 for country in pycountry.countries}
    codes |= {country.alpha_3: country.alpha_2 for country in pycountry.countries}
    codes |= {"XK": "XK", "XKX": "XK", "EL": "GR"}
    return _Tables(names, frozenset(by_hand), acronyms, stems, alias_stems, phrases, display, codes)


def _alias_rows() -> list[tuple[str, list[str]]]:
    rows: list[tuple[str, list[str]]] = []
    for word in _ALIASES.split():
        if word.endswith(":"):
            rows.append((word[:-1], []))
        else:
            rows[-1][1].append(word)
    return rows


def _translations(language: str) -> list[tuple[str, str]]:
    """Return (code, name) for every name of every state in a language, inverted ones ("Moldova, Republic of") set right."""
    known = gettext.translation("iso3166-1", pycountry.LOCALES_DIR, languages=[language], fallback=True)
    rows: list[tuple[str, str]] = []
    for country in pycountry.countries:
        for field in ("name", "common_name", "official_name"):
            name = re.sub(r"\(.*?\)", " ", known.gettext(getattr(country, field, "")) if hasattr(country, field) else "")
            head, _, tail = name.partition(", ")
            rows += [(country.alpha_2, form) for form in ((f"{tail} {head}", f"{head} {tail}") if tail else (name,))]
            if tail and country.alpha_2 in _INVERTED:
                rows.append((country.alpha_2, head))
    return rows


def _stem(name: str) -> str:
    short = name
    while len(name) - len(short) < 2 and short and short[-1] in _VOWELS:
        short = short[:-1]
    return short
