//! What fires, what is missed and what comes next: the only place that computes a next time.
