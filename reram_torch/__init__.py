"""PyTorch networks on simulated ReRAM crossbars, and the cheapest A/D search they can live with."""

from reram_torch._support.version import package_version
from reram_torch.adc import (
    ActivitySAR,
    AdcDesign,
    Intervals,
    Leaf,
    Node,
    SearchTree,
    Segmented,
    SpeculativeSAR,
    TwinRange,
    UniformSAR,
    register_adc,
)
from reram_torch.calibration.calibrating import calibrate
from reram_torch.config.device_errors import (
    AdcErrors,
    LogarithmicDrift,
    PowerDrift,
    ReadNoise,
    TableDrift,
    WriteErrors,
)
from reram_torch.config.devices import Cells, Devices, device_names, load_devices
from reram_torch.config.files import config_names, load_config
from reram_torch.config.sections import (
    Config,
    CrossbarConfig,
    InputConfig,
    SearchConfig,
    WeightConfig,
)
from reram_torch.conversion.converting import MappingReport, convert, revert
from reram_torch.conversion.states import crossbar_states, load_crossbar_states
from reram_torch.crossbar.tables import lossless_adc
from reram_torch.design.bounds import Bound, adc_bound, bound_table
from reram_torch.design.designing import AdcDesigns, design_adc
from reram_torch.evaluation.chances import Spread
from reram_torch.evaluation.many_chips import MonteCarlo, monte_carlo
from reram_torch.hardware.controllers import write_verilog
from reram_torch.hardware.description import Hardware, describe_adc
from reram_torch.hardware.loading import LayerWords, program_words
from reram_torch.native.library import NativeError
from reram_torch.nn.attention import ReRAMMultiheadAttention
from reram_torch.nn.layers import ReRAMConv2d, ReRAMLinear
from reram_torch.nn.networks import crossbar_layers
from reram_torch.nn.programming import ProgrammedNetwork, conductances, program
from reram_torch.nn.wire_errors import WireError, wire_error
from reram_torch.ops.backends import backend
from reram_torch.power.meter import PowerMeter
from reram_torch.power.records import LayerReport
from reram_torch.power.reports import PowerReport
from reram_torch.power.tables import comparison_table
from reram_torch.power.technology import Technology, load_technology, technology_names

__version__ = package_version()

__all__ = [
    "ActivitySAR",
    "AdcDesign",
    "AdcDesigns",
    "AdcErrors",
    "Bound",
    "Cells",
    "Config",
    "CrossbarConfig",
    "Devices",
    "Hardware",
    "InputConfig",
    "Intervals",
    "LayerReport",
    "LayerWords",
    "Leaf",
    "LogarithmicDrift",
    "MappingReport",
    "MonteCarlo",
    "NativeError",
    "Node",
    "PowerDrift",
    "PowerMeter",
    "PowerReport",
    "ProgrammedNetwork",
    "ReRAMConv2d",
    "ReRAMLinear",
    "ReRAMMultiheadAttention",
    "ReadNoise",
    "SearchConfig",
    "SearchTree",
    "Segmented",
    "SpeculativeSAR",
    "Spread",
    "TableDrift",
    "Technology",
    "TwinRange",
    "UniformSAR",
    "WeightConfig",
    "WireError",
    "WriteErrors",
    "adc_bound",
    "backend",
    "bound_table",
    "calibrate",
    "comparison_table",
    "conductances",
    "config_names",
    "convert",
    "crossbar_layers",
    "crossbar_states",
    "describe_adc",
    "design_adc",
    "device_names",
    "load_config",
    "load_crossbar_states",
    "load_devices",
    "load_technology",
    "lossless_adc",
    "monte_carlo",
    "program",
    "program_words",
    "register_adc",
    "revert",
    "technology_names",
    "wire_error",
    "write_verilog",
]
