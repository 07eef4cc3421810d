"""Against floods, scanners and guessed passwords: who sends too much or does ill is limited, then shut out."""
