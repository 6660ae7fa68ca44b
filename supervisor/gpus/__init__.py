"""The GPUs of this machine: readings from NVML, and the slots that a session makes of them."""

from .models import Gpu, GpuReading
from .poller import read_gpus
from .slots import Slot

__all__ = ["Gpu", "GpuReading", "Slot", "read_gpus"]
