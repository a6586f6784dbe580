"""ADCs for a budget: prices, sensitivities, optimal designs by layer, bounds."""
