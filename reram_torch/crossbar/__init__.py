"""How a layer lies on crossbars: geometry, quantization, cells, tables."""
