"""The `points` format of bytes: one line per sample, `P <time in ms> <x> <y>`, gaze as fraction of the display."""

from emer_edge.core.samples import TrackerSample
from emer_edge.runtime.trackers import LineDecoder, SampleEncoder, StreamFormat, number_in, reading


class PointsDecoder(LineDecoder):
    """Lines to samples; never raises on any bytes."""

    def __init__(self, display, scale=1.0):
        super().__init__(display)
        self._scale = scale

    def _line(self, line, arrival_ns):
        mark, *cells = line.split()
        numbers = [number_in(cell) for cell in cells]
        if mark != b"P" or len(numbers) != 3 or None in numbers:
            self.counters.garbage += 1  # shows in the run's summary
            return None
        self.counters.samples += 1
        self.fields |= {"left gaze", "right gaze"}
        time_ms, x, y = numbers
        eye = reading(self._display, self.counters, gaze=(x * self._scale, y * self._scale))
        return TrackerSample(round(time_ms * 1e6), arrival_ns, arrival_ns, eye, eye)


class PointsEncoder(SampleEncoder):
    """Samples to lines, for `emer-edge simulate tracker`."""

    def encode(self, sample):
        x, y = (sample.left if sample.left.valid else sample.right).gaze_px
        width, height = self._display.width_px, self._display.height_px
        return b"P %.3f %.5f %.5f\n" % (sample.device_ns / 1e6, x / width, y / height)


def _decoder(parameters, display):
    return PointsDecoder(display, float(parameters.get("scale", "1")))


POINTS = StreamFormat(
    name="points",
    help="lines of one gaze point",
    parameters={"scale": "what its numbers are multiplied by"},
    decoder=_decoder,
    evidence=3,  # lines in a row that prove it, where format=points is not given
    encoder=PointsEncoder,
)
