//! The node's desired state: bridges, ports and tunnels, from a TOML file or an Open_vSwitch database.
