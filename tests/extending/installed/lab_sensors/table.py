"""An output, `table:FILE.tsv`: one line per result, with its end and its state."""

from pathlib import Path

from emer_edge.core.errors import ConfigurationError
from emer_edge.runtime.outputs import Output, OutputDriver
from emer_edge.runtime.outputs.base import target_of


class Table(Output):
    """Overrides the methods for what it takes; the others do nothing."""

    name = "table"

    def __init__(self, options, host):
        self._file = options.open("w")
        self._frames = 0

    @classmethod
    def parse(cls, address):
        """The options of an address; also called by `--check`."""
        path = Path(target_of(address, path=True)[0])
        if path.suffix != ".tsv":
            raise ConfigurationError(f"{address}: write table:FILE.tsv")
        return path

    def frame(self, frame, look, taken_ns):
        self._frames += 1

    def result(self, result):
        self._file.write(f"{result.end_ns}\t{result.state.value}\n")
        return True  # False: nobody reads this output any more, so the run ends

    def end(self, summary):
        self._file.write(f"{self._frames} frames\n")
        self._file.close()


TABLE = OutputDriver("table", "table:FILE.tsv", "one line per result", "lab_sensors.table:Table", schemes=("table",))
