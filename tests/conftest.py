"""What tests share: the research data beside the repository, where there is any, and a tiny scenario."""

from __future__ import annotations

import os
import pathlib
import shutil

import hypothesis
import pytest

# CI judges a change, so it tries the same cases every time; at a desk each run tries new ones.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")
# `greyzone eval impact --part axioms` asks for it; a fifth of the cases finds what a change breaks, in a fifth of the time.
hypothesis.settings.register_profile("thousand", max_examples=1000)

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    if not SHARED.is_dir():
        pytest.skip("the research data is not beside the repository (see docs/data.md)")
    return SHARED


@pytest.fixture(scope="session")
def scenario(tmp_path_factory):
    """The invented scenario at 600 documents: what `greyzone synth` writes."""
    from greyzone.eval.scenario.synth import write_scenario

    folder = tmp_path_factory.mktemp("scenario")
    return write_scenario(folder, documents=600, seed=3)


@pytest.fixture(scope="session")
def scenario_case(scenario, tmp_path_factory):
    """A finished case of that scenario; tests that change a case copy it."""
    import greyzone
    from greyzone.pipeline import Settings

    settings = Settings(incident_mapping=str(scenario.mapping), today="2026-01-01")
    folder = tmp_path_factory.mktemp("case") / "case"
    return greyzone.run(scenario.documents, incidents=scenario.incidents, out=folder, settings=settings)


@pytest.fixture(scope="module")
def browser():
    """A headless browser; where CI asks for one, a missing one fails instead of skipping."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        if os.environ.get("GREYZONE_REQUIRE_BROWSER"):
            pytest.fail("chromium and chromedriver are required here and are not installed")
        pytest.skip("chromium and chromedriver are not installed (Debian: apt-get install chromium chromium-driver)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-quic",
        "--window-size=1500,1000",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driven = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    yield driven
    driven.quit()
