//! Pure: what was observed of an actor becomes its status and the events that a person cares about.
