"""Which reports are one event: crowds, chance, rivals and chains, on invented reports."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from greyzone.doctrine import load_doctrine
from greyzone.incidents import canonicalise
from greyzone.incidents.canonical import _with_onset
from greyzone.incidents.crowds import Crowd, Crowds
from greyzone.incidents.naming import known_as, with_mentions
from greyzone.incidents.rarity import rarity_of
from greyzone.incidents.record import record_of
from greyzone.records import REPORTS, table

DOCTRINE = load_doctrine()
LONG_NAME = "Lanternfish wiper erased registers of lighthouse keepers"


def day(month: int, number: int, hour: int = 0) -> datetime:
    return datetime(2020, month, number, hour, tzinfo=UTC)


def report(**fields: object) -> dict[str, object]:
    row: dict[str, object] = {
        "report_id": "rep-0",
        "source": "one",
        "name": "Lanternfish",
        "description": "",
        "technique_class": "disruption",
    }
    row |= {"onset_lo": day(5, 4), "onset_hi": day(5, 4, 23), "onset_precision": "day", "target_states": ["EE"], "admiralty": 2}
    return row | fields


def merged(rows: list[dict[str, object]]):
    return canonicalise(table(rows, REPORTS), doctrine=DOCTRINE)


def crowd(n: int = 60) -> list[dict[str, object]]:
    return [report(report_id=f"rep-x{at}", name=f"Matter q{at}q", target_states=["FR"]) for at in range(n)]


def test_no_chain_joins_onsets_that_lie_apart():
    def told(at: int, first: datetime, last: datetime) -> dict[str, object]:
        return report(report_id=f"rep-{at}", source=f"s{at}", name=LONG_NAME, onset_lo=first, onset_hi=last)

    # The second source knows only the year, and agrees with both others; these are eleven months apart.
    rows = [told(0, day(1, 4), day(1, 5)), told(1, day(1, 1), day(12, 31)), told(2, day(12, 4), day(12, 5))]
    result = merged([*rows, *crowd()])
    groups = [set(row["reports"]) for row in result.incidents.to_pylist() if row["target_state"] == "EE"]
    assert sorted(map(len, groups)) == [1, 2]
    assert not any({"rep-0", "rep-2"} <= group for group in groups)
    assert any("not merged: it would chain dates 334 days apart" in row["evidence"] for row in result.merges.to_pylist())


def test_no_chain_joins_two_events_of_one_source():
    names = ["Lanternfish wiper erased registers of Harju beacon", "Phone lines of Viru pier flooded by otters"]
    one, two = (report(report_id=f"rep-{at}", source="a", name=name) for at, name in enumerate(names))
    rows = [one, two, report(report_id="rep-2", source="b", name=names[0]), report(report_id="rep-3", source="c", name=names[1])]
    rows.append(report(report_id="rep-4", source="d", name=" and ".join(names)))
    groups = [set(row["reports"]) for row in merged([*rows, *crowd()]).incidents.to_pylist() if row["target_state"] == "EE"]
    assert not any({"rep-0", "rep-1"} <= group for group in groups)
    assert {"rep-0", "rep-2"} <= next(group for group in groups if "rep-0" in group)


def test_an_event_told_twice_by_one_source_joins_by_the_report_of_another():
    text = "Lanternfish wiper erased registers of lighthouse keepers in Harju on Monday, the coast guard of Viru said"
    rows = [
        report(report_id="rep-0", source="a", name="Wiper in Harju", description=text),
        report(report_id="rep-1", source="a", name="Keepers lose registers", description=text + " again"),
        report(report_id="rep-2", source="b", name="Lanternfish", description=text),
    ]
    row = next(item for item in merged([*rows, *crowd()]).incidents.to_pylist() if item["target_state"] == "EE")
    assert row["reports"] == ["rep-0", "rep-1", "rep-2"]
    # Without the other source nothing says that the two are one.
    assert merged([*rows[:2], *crowd()]).incidents.num_rows == 61 + 1


def test_a_report_with_two_likely_counterparts_is_left_to_a_person():
    def told(at: int, source: str, name: str, number: int) -> dict[str, object]:
        when = {"onset_lo": day(5, number), "onset_hi": day(5, number, 23)}
        return report(report_id=f"rep-{at}", source=source, name=name, **when)

    rows = [
        told(0, "a", "Lanternfish wiper in the beacon office of Harju and on phone lines of Viru pier", 4),
        told(1, "b", "Lanternfish wiper erased pay slips of the beacon office of Harju", 4),
        told(2, "b", "Phone lines of Viru pier flooded by Lanternfish", 6),
    ]
    result = merged([*rows, *crowd()])
    alone = merged([*rows[:2], *crowd()])
    posterior = {(row["report_a"], row["report_b"]): row["posterior"] for row in result.merges.to_pylist()}
    assert alone.merges.to_pylist()[0]["posterior"] > 0.9
    assert posterior["rep-0", "rep-1"] < 0.75
    assert set(result.merges.column("decision").to_pylist()) == {"review"}


def test_a_report_of_a_third_source_changes_little_for_pairs_of_the_others():
    text = "Lanternfish wiper erased registers of lighthouse keepers in Harju"
    rows = [report(report_id=f"rep-{at}", source=source, name=text) for at, source in enumerate("ab")]
    more = report(report_id="rep-2", source="c", name=text)
    before, after = merged([*rows, *crowd()]), merged([*rows, more, *crowd()])
    kept = [row for row in after.merges.to_pylist() if row["report_b"] != "rep-2"]
    assert [(row["report_a"], row["report_b"], row["decision"]) for row in kept] == [("rep-0", "rep-1", "merged")]
    assert kept[0]["posterior"] == pytest.approx(before.merges.to_pylist()[0]["posterior"], abs=0.001)
    # The id is that of the least report id: a report with a greater one joins and changes nothing.
    first, second = ({row["incident_id"] for row in result.incidents.to_pylist()} for result in (before, after))
    assert first == second


def public(month: int, first: int, last: int) -> dict[str, object]:
    """A report of which only the disclosure is known."""
    dates = {"disclosed_lo": day(month, first), "disclosed_hi": day(month, last, 23)}
    return {"onset_lo": None, "onset_hi": None, "onset_precision": "unknown"} | dates


def ways(one: dict[str, object], other: dict[str, object], others: list[dict[str, object]]) -> dict[str, float]:
    rows = [report(**one), report(report_id="rep-1", source="two") | other, *others]
    records = [record_of(_with_onset(row, DOCTRINE)) for row in table(rows, REPORTS).to_pylist()]
    return {told: value for _, told, value in Crowds(records, DOCTRINE.section("canonical")).where_and_when(0, 1)}


def test_two_disclosures_are_compared_with_each_other_and_not_by_the_year_before_them():
    numbers = DOCTRINE.section("canonical")
    near = ways(public(5, 4, 4) | {"technique_class": "espionage"}, public(5, 1, 31) | {"technique_class": "espionage"}, [])
    assert near["public"] == pytest.approx(np.log(numbers["date_agree"]))
    far = ways(public(9, 4, 4) | {"technique_class": "espionage"}, public(5, 1, 31) | {"technique_class": "espionage"}, [])
    # 31 May ends 95 days before 4 September begins.
    assert far["public"] == pytest.approx(np.log((1 - numbers["date_agree"]) / (1 + 95.04 / numbers["gap_days"])), abs=0.01)


def test_an_onset_meets_a_disclosure_by_how_soon_such_events_become_public():
    numbers = DOCTRINE.section("canonical")
    busy = [report(report_id=f"rep-x{at}", onset_lo=day(4, 1 + at), onset_hi=day(4, 1 + at, 23)) for at in range(25)]
    seen = ways({}, public(5, 4, 4) | {"technique_class": "disruption"}, busy)
    assert seen["public within 5 days"] == pytest.approx(np.log(numbers["prompt_open"]))
    hidden = ways({}, public(5, 4, 4) | {"technique_class": "espionage"}, busy)
    assert "public within 365 days" in hidden
    # The next day of another time zone is the same day.
    assert "public within 30 days" in ways({"onset_lo": day(5, 5), "onset_hi": day(5, 5, 23)}, public(5, 4, 4), [])


def test_the_next_day_of_a_campaign_is_another_attack():
    numbers = DOCTRINE.section("canonical")
    later = {"onset_lo": day(5, 14), "onset_hi": day(5, 14, 23)}
    seen = ways({}, later | {"technique_class": "disruption"}, [])["onset"]
    hidden = ways({"technique_class": "espionage"}, later | {"technique_class": "espionage"}, [])["onset"]
    days = 9 + 1 / 24
    assert seen == pytest.approx(np.log((1 - numbers["date_agree"]) / (1 + days / numbers["gap_days_open"])))
    assert hidden == pytest.approx(np.log((1 - numbers["date_agree"]) / (1 + days / numbers["gap_days"])))


def test_a_state_that_a_text_names_counts_where_it_meets_and_not_where_it_does_not():
    text = {"target_states": [], "description": "Otters flooded a portal of Estonia"}
    assert "state EE" in ways({}, text, [])
    assert not any("state" in name for name in ways({"target_states": ["FR"]}, text, []))
    suspected = text | {"actors": [{"name": "otters", "state": "EE", "probability": 0.5, "said_by": "x"}]}
    assert not any("state" in name for name in ways({}, suspected, []))


def test_what_different_events_share_is_measured_and_the_ratio_rises():
    records = [record_of(table([row], REPORTS).to_pylist()[0]) for row in _template_reports()]
    numbers = DOCTRINE.section("canonical")
    found = rarity_of(records, numbers)
    assert found.ratios == sorted(found.ratios)
    # All texts hold the same eight words: sharing them is what chance does, and a pair gains nothing by it.
    assert found.shared(found.mass(0, 1)) < 1
    assert sum(found.chance) == pytest.approx(1, abs=1e-6)


def _template_reports() -> list[dict[str, object]]:
    states = ["EE", "LV", "LT", "FI", "SE"]
    text = "Otters claimed a flood of requests upon the portal of a bank"
    return [report(report_id=f"rep-{at:03}", source=f"s{at % 2}", name=text, target_states=[states[at // 2 % 5]]) for at in range(400)]


def test_crowds_count_what_a_date_and_a_state_leave():
    rows = [report(report_id=f"rep-{at}", source="ab"[at % 2], onset_lo=day(5, 1 + at), onset_hi=day(5, 1 + at, 23)) for at in range(20)]
    rows += [report(report_id="rep-z", source="b", target_states=[]), report(report_id="rep-y", source="b", target_states=["FR"])]
    records = [record_of(row) for row in table(rows, REPORTS).to_pylist()]
    numbers = DOCTRINE.section("canonical")
    told = {told: value for _, told, value in Crowds(records, numbers).where_and_when(0, 1)}
    # 1 and 2 May, a day around both: 30 April to 4 May less an hour. Source b has the even days of May, so that 2 May and 23 hours less
    # of 4 May are left, and the reports of 4 May, one of EE, one of FR, one of nobody, begin an hour too late.
    whole = Crowd.of([record.onset for record in records if record.source == "b" and record.onset])
    within = whole.within(records[0].lo - 1, records[1].hi + 1)
    naive = 0.0
    for record in records:
        if record.source == "b":
            met = min(record.hi, records[1].hi + 1) - max(record.lo, records[0].lo - 1)
            naive += max(met, 0.0) / (record.hi - record.lo)
    assert within == pytest.approx(naive)
    # Source a has 1 May and 23 hours less of 3 May: the larger of the two.
    assert told["one of 2"] == pytest.approx(-np.log(numbers["rivals"]))


def test_a_year_is_hardly_a_rival_of_days_and_days_are_rivals_of_a_year():
    crowd = Crowd.of([(0.0, 365.0), (100.0, 101.0), (200.0, 201.0)])
    assert crowd.within(99.0, 102.0) == pytest.approx(1 + 3 / 365)
    assert crowd.within(-10.0, 400.0) == pytest.approx(3)
    assert crowd.within(500.0, 600.0) == 0


def test_several_states_that_both_list_leave_few_reports():
    several = {"target_states": ["EE", "LV", "LT"]}
    others = [report(report_id=f"rep-x{at:02}", source="two", target_states=["EE"]) for at in range(20)]
    assert any(name == "one of 1" for name in ways(several, several, others))
    assert any(name == "one of 21" for name in ways({"target_states": ["EE"]}, several, others))


def test_a_vague_onset_leaves_the_disclosure_to_compare_and_a_day_does_not():
    vague = {"onset_lo": day(1, 1), "onset_hi": day(4, 30), "disclosed_lo": day(5, 4), "disclosed_hi": day(5, 4, 23)}
    assert any(name.startswith("public within") for name in ways({}, vague, []))
    exact = vague | {"onset_lo": day(4, 2), "onset_hi": day(4, 2, 23)}
    assert not any(name.startswith("public within") for name in ways({}, exact, []))


def test_an_actor_that_one_lists_and_the_other_mentions_is_shared():
    def told(at: int, source: str, description: str, *actors: str) -> dict[str, object]:
        named = [{"kind": "actor", "value": actor} for actor in actors]
        return report(report_id=f"rep-{at}", source=source, description=description, entities=named)

    rows = [
        told(0, "a", "Otters of UAC-9914, aka Winter Otter, sank a pier", "Winter Otter"),
        told(1, "b", "A pier sank", "UAC-9914"),
        told(2, "c", "The United Kingdom and otters", "Silent (WINTER OTTER)"),
        told(3, "d", "A pier of Estonia", "Estonia"),
    ]
    records = with_mentions([record_of(row) for row in table(rows, REPORTS).to_pylist()])
    found = [{name.removeprefix("actor:") for name in record.mentioned} for record in records]
    assert found[0] == {"winterotter", "uac9914"}
    assert found[1] == {"uac9914"}
    assert found[2] == {"silentwinterotter", "winterotter"}
    # A state is no actor's name.
    assert found[3] == set()
    together = told(4, "e", "", "Winter Otter", "Cold Otter")
    records = [record_of(row) for row in table([rows[0], together], REPORTS).to_pylist()]
    assert known_as(records)[0] == {"actor:winterotter", "actor:coldotter"}


def test_the_texts_that_a_list_joins_to_a_report_are_other_reports():
    row = report(description="Otters sank a pier | Beavers flooded a mill")
    record = record_of(table([row], REPORTS).to_pylist()[0])
    assert {"otter", "pier"} <= record.text
    assert not {"beaver", "mill"} & record.text


def test_words_count_by_the_place_where_they_stand():
    filler = "so it was said of them and it was not so " * 10
    rows = [report(report_id=f"rep-{at}", source=source, name="Pier", description=filler + "beavers") for at, source in enumerate("ab")]
    records = [record_of(row) for row in table(rows, REPORTS).to_pylist()]
    worth = rarity_of(records, DOCTRINE.section("canonical")).worth(0, 1)
    assert worth["beaver"] == 0
    assert worth["pier"] > 0


def test_a_day_whose_day_and_month_changed_places_still_meets_the_other_source():
    text = "Lanternfish wiper erased registers of lighthouse keepers in Harju"
    spring = {"onset_lo": None, "onset_hi": None, "onset_precision": "unknown", "disclosed_lo": day(4, 9), "disclosed_hi": day(4, 9, 23)}
    autumn = {"onset_lo": day(9, 4), "onset_hi": day(9, 4, 23)}
    rows = [report(report_id="rep-0", name=text, **autumn), report(report_id="rep-1", source="two", name=text, **spring)]
    (pair,) = merged([*rows, *crowd()]).merges.to_pylist()
    assert "swapped day" in pair["evidence"]
    # The 13th is no month.
    other = [report(report_id="rep-0", name=text, onset_lo=day(9, 13), onset_hi=day(9, 13, 23)), rows[1]]
    assert all("swapped day" not in row["evidence"] for row in merged([*other, *crowd()]).merges.to_pylist())
