"""Markets that the strategies are tested on: the generated tapes of the reports' tests."""

from tests.research.conftest import tapes as tapes  # a fixture
