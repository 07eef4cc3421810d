"""Rules: functions of a story and of what is around it, each of which finds one fault, or nothing."""
