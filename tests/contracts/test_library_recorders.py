"""The test cases that the ``eventsourcing`` library ships for recorders, unchanged, on our log."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from eventsourcing.persistence import ApplicationRecorder, InfrastructureFactory, ProcessRecorder, TrackingRecorder
from eventsourcing.tests import persistence as shipped
from eventsourcing.utils import Environment

from infrastructure.event_log.library_recorder import EventLogProcessRecorder, EventLogRecorder
from tests.support.library import library_variables


class OnOurLog:
    """The factory that an application of the library uses if it is configured with our persistence module."""

    factory: InfrastructureFactory

    @pytest.fixture(autouse=True)
    def _open(self, database: str) -> Iterator[None]:
        self.factory = InfrastructureFactory.construct(Environment("Application", library_variables(database)))
        with self.factory:
            yield

    def new_originator_id(self) -> str:
        return str(uuid4())


class TestApplicationRecorder(OnOurLog, shipped.ApplicationRecorderTestCase):
    def create_recorder(self) -> ApplicationRecorder:
        recorder = self.factory.application_recorder()
        assert type(recorder) is EventLogRecorder
        return recorder

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestPositionsOfOneCallAreConsecutive(OnOurLog, shipped.NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> ApplicationRecorder:
        return self.factory.application_recorder()


class TestTrackingRecorder(OnOurLog, shipped.TrackingRecorderTestCase):
    def create_recorder(self) -> TrackingRecorder:
        return self.factory.tracking_recorder()


class TestTrackingOfTheProcessRecorder(OnOurLog, shipped.TrackingRecorderTestCase):
    def create_recorder(self) -> TrackingRecorder:
        return self.factory.process_recorder()


class TestProcessRecorder(OnOurLog, shipped.ProcessRecorderTestCase):
    def create_recorder(self) -> ProcessRecorder:
        recorder = self.factory.process_recorder()
        assert type(recorder) is EventLogProcessRecorder
        return recorder
