"""How deliveries become popups: which together, with what text, actions, sound and privacy, and when not."""
