"""What a run was worth: metrics, the report and the terminal screen."""
