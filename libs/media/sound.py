"""Sound that goes with a film: samples and their rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHANNELS_MAX = 2


@dataclass(frozen=True)
class SoundWaves:
    """AUDIO: float32 [channels, samples], -1 to 1, one or two channels."""

    samples: NDArray[np.float32]
    rate: int

    @property
    def layout(self) -> str:
        """Return what encoders call the number of channels."""
        return "mono" if self.samples.shape[0] == 1 else "stereo"

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return self.samples.nbytes

    def frame(self) -> Any:
        """Return it as PyAV takes it."""
        import numpy as np
        from av import AudioFrame

        samples = np.ascontiguousarray(self.samples[:CHANNELS_MAX])
        frame = AudioFrame.from_ndarray(samples, format="fltp", layout=self.layout)
        frame.sample_rate = self.rate
        return frame
