//! Follows the orchestration layer and keeps a node's rules equal to what it wants.
