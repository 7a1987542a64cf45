"""What `run` is to put out: its flags, and addresses, as one list of requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emer_edge.core.errors import ConfigurationError

if TYPE_CHECKING:
    from emer_edge.runtime.options import Source
    from emer_edge.runtime.outputs import Request


@dataclass(frozen=True)
class OutputFlags:
    """The flags, named as on the command line; each stands for an address.

    Attributes:
        out: addresses.
        json, serve, serve_token, save, session, record, record_video, record_lossless, retention_days, mqtt, metrics,
            lsl_out: see `emer-edge run --help`.
        participant, consent_id: of one person; of several refused, unless every one has its own.
    """

    out: Sequence[str] = ()
    json: bool = False
    serve: str | None = None
    serve_token: str | None = None
    save: Path | None = None
    session: str | None = None
    record: Path | None = None
    record_video: bool = False
    record_lossless: bool = False
    retention_days: float | None = None
    mqtt: str | None = None
    metrics: str | None = None
    lsl_out: str | None = None
    participant: str | None = None
    consent_id: str | None = None

    def requests(self, sources: Sequence[Source]) -> list[Request]:
        """All that was asked for, the table at the end included; the view in the terminal where stdout has no results.

        Args:
            sources: the people that are read.

        Raises:
            ConfigurationError: flags that make no sense, or an address that can't be read.
            MissingExtraError: an output needs a package that is not installed.
        """
        from emer_edge.runtime.outputs import OUTPUTS, Request, requested

        self._each_names_its_own("participant", self.participant, [each.participant for each in sources], sources)
        self._each_names_its_own("consent-id", self.consent_id, [each.consent_id for each in sources], sources)
        asked = [requested(each) for each in self.out]
        if self.json:
            asked.append(Request("json"))
        if self.serve is not None:
            from emer_edge.runtime.outputs.page.output import PageOptions

            asked.append(Request("page", PageOptions(self.serve, self.serve_token)))
        if self.save is not None:
            from emer_edge.runtime.outputs.session_folder import SessionOptions

            asked.append(Request("session", SessionOptions(self.save, self.session)))
        asked += self._recording(any(each.name == "record" for each in asked))
        if self.mqtt is not None:
            from emer_edge.runtime.outputs.mqtt import parse_broker

            asked.append(Request("mqtt", parse_broker(self.mqtt)))
        if self.metrics is not None:
            from emer_edge.runtime.outputs.prometheus import parse_address

            asked.append(Request("metrics", parse_address(self.metrics)))
        if self.lsl_out is not None:
            asked.append(Request("lsl", self.lsl_out))
        names = {each.name for each in asked}
        of_nobody = names <= {each.name for each in OUTPUTS} - {"session", "record"}
        for each in sources:
            if of_nobody and (self.session is not None or each.participant is not None):
                whose = "" if each.name is None else f"stream {each.name}: "
                raise ConfigurationError(
                    f"{whose}--participant and --session name what is saved: say where, with --save FOLDER"
                )
        shown = ["summary"] if "json" in names else ["live", "summary"]
        return [*asked, *(Request(each) for each in shown if each not in names)]

    def _recording(self, by_address: bool) -> list[Request]:
        from emer_edge.runtime.outputs import Request
        from emer_edge.runtime.recording.keep import RecordOptions

        if self.record is None:
            alone = {
                "--record-video": self.record_video,
                "--record-lossless": self.record_lossless,
                "--consent-id": self.consent_id is not None and not by_address,
                "--retention-days": self.retention_days is not None,
            }
            given = [name for name, was_given in alone.items() if was_given]
            if given:
                raise ConfigurationError(f"{', '.join(given)} belong to a recording: add --record FILE.mcap")
            return []
        if self.record_lossless and not self.record_video:
            raise ConfigurationError("--record-lossless says how images are recorded: add --record-video")
        return [
            Request(
                "record",
                RecordOptions(
                    self.record,
                    "none" if not self.record_video else "lossless" if self.record_lossless else "jpeg",
                    session=self.session,
                    retention_days=self.retention_days,
                ),
            )
        ]

    def _each_names_its_own(
        self, key: str, for_all: str | None, own: Sequence[str | None], sources: Sequence[Source]
    ) -> None:
        """Refuse what was said for all where a stream has not said it of its own person."""
        missing = [each.name for each, value in zip(sources, own, strict=True) if value is None and each.name]
        if for_all is not None and missing:
            raise ConfigurationError(
                f"--{key} is one person's, and this run reads several: put {key} into the [[stream]] tables, each with "
                f"its own; missing in {', '.join(missing)}"
            )
