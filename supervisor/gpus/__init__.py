"""GPUs of this machine: readings from NVML, and the slots of a session."""

from .models import Gpu, GpuReading
from .poller import read_gpus
from .slots import Slot

__all__ = ["Gpu", "GpuReading", "Slot", "read_gpus"]
