"""ADC designs: binary search trees over the bit-line sum, as data."""

from reram_torch.adc.activity_sar import ActivitySAR
from reram_torch.adc.base import AdcDesign, register_adc
from reram_torch.adc.intervals import Intervals
from reram_torch.adc.search_tree import SearchTree
from reram_torch.adc.segmented import Segmented
from reram_torch.adc.speculative import SpeculativeSAR
from reram_torch.adc.trees import Leaf, Node
from reram_torch.adc.twin_range import TwinRange
from reram_torch.adc.uniform import UniformSAR

__all__ = [
    "ActivitySAR",
    "AdcDesign",
    "Intervals",
    "Leaf",
    "Node",
    "SearchTree",
    "Segmented",
    "SpeculativeSAR",
    "TwinRange",
    "UniformSAR",
    "register_adc",
]
