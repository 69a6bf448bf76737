//! The worker loop and its stations.
