"""PyTorch networks on simulated ReRAM crossbars, and the cheapest A/D search they can live with."""

from importlib.metadata import version

from reram_torch.adc import Intervals, SearchTree, TwinRange, UniformSAR
from reram_torch.backends import backend
from reram_torch.bound import Bound, adc_bound, bound_table
from reram_torch.calibrate import calibrate, lossless_adc
from reram_torch.config import (
    Config,
    CrossbarConfig,
    InputConfig,
    SearchConfig,
    WeightConfig,
    config_names,
    load_config,
)
from reram_torch.convert import Conversion, convert, crossbar_layers, revert
from reram_torch.design import AdcSearch, design_adc
from reram_torch.hardware import Hardware, describe_adc
from reram_torch.layers import ReRAMConv2d, ReRAMLinear
from reram_torch.native import NativeError
from reram_torch.power import PowerMeter
from reram_torch.report import LayerReport, PowerReport, comparison_table
from reram_torch.technology import Technology, load_technology, technology_names

__version__ = version("reram_torch")

__all__ = [
    "AdcSearch",
    "Bound",
    "Config",
    "Conversion",
    "CrossbarConfig",
    "Hardware",
    "InputConfig",
    "Intervals",
    "LayerReport",
    "NativeError",
    "PowerMeter",
    "PowerReport",
    "ReRAMConv2d",
    "ReRAMLinear",
    "SearchConfig",
    "SearchTree",
    "Technology",
    "TwinRange",
    "UniformSAR",
    "WeightConfig",
    "adc_bound",
    "backend",
    "bound_table",
    "calibrate",
    "comparison_table",
    "config_names",
    "convert",
    "crossbar_layers",
    "describe_adc",
    "design_adc",
    "load_config",
    "load_technology",
    "lossless_adc",
    "revert",
    "technology_names",
]
