"""What the tests in a browser share."""

import pytest

from tests.helpers.http.browser import chromium


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running
