"""The outputs of `run`: its flags and addresses as one list of requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emer_edge.core.errors import ConfigurationError

if TYPE_CHECKING:
    from emer_edge.runtime.options import Source
    from emer_edge.runtime.outputs import Request
    from emer_edge.runtime.recording.keep import Images


@dataclass(frozen=True)
class OutputFlags:
    """The flags, named as on the command line (`emer-edge run --help`); each stands for an address.

    Attributes:
        out: addresses.
        participant, consent_id: of one person; with several people refused, unless every one has its own.
    """

    out: Sequence[str] = ()
    json: bool = False
    serve: str | None = None
    serve_token: str | None = None
    serve_open: bool = False
    open_page: bool = False
    serve_record: Path | None = None
    save: Path | None = None
    session: str | None = None
    record: str | None = None
    record_video: bool = False
    record_lossless: bool = False
    retention_days: float | None = None
    mqtt: str | None = None
    metrics: str | None = None
    lsl_out: str | None = None
    participant: str | None = None
    consent_id: str | None = None

    def requests(self, sources: Sequence[Source]) -> list[Request]:
        """All requested outputs and the table at the end; the view in the terminal unless results go to stdout.

        Args:
            sources: the people that are read.

        Raises:
            ConfigurationError: flags that make no sense, or an address that can't be read.
            MissingExtraError: an output needs a package that is not installed.
        """
        from emer_edge.runtime.outputs import OUTPUTS, Request, requested

        _refuse_shared("participant", self.participant, {one.name: one.participant for one in sources})
        _refuse_shared("consent-id", self.consent_id, {one.name: one.consent_id for one in sources})
        requests = [requested(address) for address in self.out]
        if self.json:
            requests.append(Request("json"))
        if self.serve is not None or self.open_page:
            from emer_edge.runtime.outputs.page.output import PageOptions

            address = "0" if self.serve is None else self.serve
            requests.append(Request("page", PageOptions(address, self.serve_token, self.serve_open, self.open_page)))
        elif self.serve_open or self.serve_record is not None:
            flag = "--serve-open" if self.serve_open else "--serve-record"
            raise ConfigurationError(f"{flag} belongs to a page: add --serve 8080")
        if self.serve_record is not None:
            if self.serve_open:
                raise ConfigurationError("a page that is open to all lets nobody record: leave --serve-open out")
            from emer_edge.runtime.recording.keep import RecordOptions

            kept = RecordOptions(self.serve_record, retention_days=self.retention_days)
            requests.append(Request("record on request", kept))
        if self.save is not None:
            from emer_edge.runtime.outputs.session_folder import SessionOptions

            options = SessionOptions(self.save, self.session, retention_days=self.retention_days)
            requests.append(Request("session", options))
        requests += self._recording(any(request.name == "record" for request in requests))
        if self.mqtt is not None:
            from emer_edge.runtime.outputs.mqtt import parse_broker

            requests.append(Request("mqtt", parse_broker(self.mqtt)))
        if self.metrics is not None:
            from emer_edge.runtime.outputs.prometheus import parse_address

            requests.append(Request("metrics", parse_address(self.metrics)))
        if self.lsl_out is not None:
            requests.append(Request("lsl", self.lsl_out))
        names = {request.name for request in requests}
        nothing_kept = names <= {driver.name for driver in OUTPUTS} - {"session", "record", "record on request"}
        for source in sources:
            if nothing_kept and (self.session is not None or source.participant is not None):
                stream = "" if source.name is None else f"stream {source.name}: "
                raise ConfigurationError(
                    f"{stream}--participant and --session name what is saved: say where, with --save FOLDER"
                )
        shown = ["summary"] if "json" in names else ["live", "summary"]
        return [*requests, *(Request(name) for name in shown if name not in names)]

    def _recording(self, by_address: bool) -> list[Request]:
        from emer_edge.runtime.outputs import Request
        from emer_edge.runtime.recording.keep import RecordOptions, record_target

        if self.record is None:
            alone = {
                "--record-video": self.record_video,
                "--record-lossless": self.record_lossless,
                "--consent-id": self.consent_id is not None and not by_address,
                "--retention-days": self.retention_days is not None and self.save is None and self.serve_record is None,
            }
            if any(alone.values()):
                flags = ", ".join(flag for flag, is_given in alone.items() if is_given)
                raise ConfigurationError(f"{flags} belong to a recording: add --record FILE.mcap")
            return []
        if self.record_lossless and not self.record_video:
            raise ConfigurationError("--record-lossless says how images are recorded: add --record-video")
        images: Images = "none" if not self.record_video else "lossless" if self.record_lossless else "jpeg"
        target = record_target(self.record)
        options = RecordOptions(target, images, session=self.session, retention_days=self.retention_days)
        return [Request("record", options)]


def _refuse_shared(key: str, shared: str | None, own: Mapping[str | None, str | None]) -> None:
    """Refuse an ID for all people (`shared`) where a named stream lacks its own."""
    missing = [name for name, value in own.items() if value is None and name]
    if shared is not None and missing:
        raise ConfigurationError(
            f"--{key} is one person's, and this run reads several: put {key} into the [[stream]] tables, each with "
            f"its own; missing in {', '.join(missing)}"
        )
