"""States in names and texts."""

from __future__ import annotations

import pycountry
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greyzone.places import AMBIGUOUS, find_states, state_code, state_name

NAMES = {
    "Russia": "RU",
    "Russian Federation": "RU",
    "Korea, Republic of": "KR",
    "Korea, Democratic People's Republic of": "KP",
    "Korea (Democratic People's Republic of)": "KP",
    "N Korea": "KP",
    "S Korea": "KR",
    "Iran, Islamic Republic of": "IR",
    "Syrian Arab Republic": "SY",
    "Taiwan": "TW",
    "Czech Republic": "CZ",
    "Kosovo": "XK",
    "Côte d'Ivoire": "CI",
    "Democratic Republic of the Congo": "CD",
    "Viet Nam": "VN",
    "Türkiye": "TR",
    "the Netherlands": "NL",
    "U.S.": "US",
    "UK": "GB",
    "usa": "US",
    "ee": "EE",
    "EST": "EE",
    "Ukrainian": "UA",
    "Украины": "UA",
    "Vereinigte Staaten": "US",
    "Großbritannien": "GB",
    "Polska": "PL",
}


@pytest.mark.parametrize(("name", "code"), sorted(NAMES.items()))
def test_a_name_has_its_code(name, code):
    assert state_code(name) == code


@pytest.mark.parametrize(
    "name", ["NATO", "EU", "Unknown", "Not available", "Europe (region)", "Korea", "", "  ", "US Congress", "Anonymous"]
)
def test_what_is_no_state_has_no_code(name):
    assert state_code(name) is None


def test_every_iso_name_and_code_leads_back_to_its_state():
    for country in pycountry.countries:
        assert state_code(country.alpha_2) == country.alpha_2
        assert state_code(country.alpha_3) == country.alpha_2
        assert state_code(state_name(country.alpha_2)) == country.alpha_2


TEXTS = {
    "Hackers hit Estonian websites; Russia denies it, Estonia insists.": ["EE", "RU"],
    "Telling us about the US and the U.K.": ["US", "GB"],
    "GIVE US BACK OUR VOTES": [],
    "В Украины и России, США": ["UA", "RU", "US"],
    "В Україні, Росії та Польщі": ["UA", "RU", "PL"],
    "Niemiec, Polski i Ukrainy; w Rosji, na Węgrzech": ["DE", "PL", "UA", "RU", "HU"],
    "Die russische Regierung, Großbritannien und die Schweiz": ["RU", "GB", "CH"],
    "les États-Unis et la Russie": ["US", "RU"],
    "Ucrania y Rusia, EE. UU.": ["UA", "RU", "US"],
    "l'Ucraina e la Germania": ["UA", "DE"],
    "Соединенных Штатов Америки и Российской Федерации": ["US", "RU"],
    "Papua New Guinea, Guinea-Bissau and Equatorial Guinea": ["PG", "GW", "GQ"],
    "North Korea and South Korea": ["KP", "KR"],
    "Nigeria is not Niger": ["NG", "NE"],
    "turkey sandwich, polish the china": [],
    "Turkey and Jordan met China": ["TR", "JO", "CN"],
    "Jordan Peele and George Liberal at Christmas": [],
    "see https://russia.example/ukraine or ask @france": [],
    "NATO and EU agree": [],
    "грузить вагон": [],
    "": [],
}


@pytest.mark.parametrize(("text", "codes"), sorted(TEXTS.items()))
def test_the_states_of_a_text_come_in_order_without_repeats(text, codes):
    assert find_states(text) == codes


def test_ambiguous_words_need_a_capital():
    for word in sorted(AMBIGUOUS & {"turkey", "georgia", "chad", "jordan", "china", "polish"}):
        assert find_states(f"a {word} here") == []
        assert len(find_states(f"In {word.capitalize()}, today")) == 1


@given(st.text(max_size=200))
def test_any_text_gives_known_codes_once(text):
    codes = find_states(text)
    assert len(codes) == len(set(codes))
    assert all(len(code) == 2 and state_name(code) != code for code in codes)
    assert find_states(text) == codes
