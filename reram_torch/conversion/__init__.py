"""From float networks to crossbars and back."""
