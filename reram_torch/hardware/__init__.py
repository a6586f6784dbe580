"""What an ADC asks of the hardware."""
