//! Names and addresses of the machines.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where nodes hear each other.
const PEER_PORT: u16 = 7_000;

/// Where nodes hear replicas, and sources hear nodes.
const CLIENT_PORT: u16 = 3_306;

/// A node's name; it goes by its number from 0.
pub fn node_name(node: usize) -> String {
    format!("node-{}", node + 1)
}

/// A replica's name.
pub fn replica_name(replica: usize) -> String {
    format!("replica-{}", replica + 1)
}

/// The name of a source, which goes by its number from 1.
pub fn source_name(number: u64) -> String {
    format!("source-{number}")
}

/// A node's address.
pub fn node_ip(node: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, node as u8 + 1).into()
}

/// A replica's address.
pub fn replica_ip(replica: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 2, replica as u8 + 1).into()
}

/// A source's address.
pub fn source_ip(number: u64) -> IpAddr {
    Ipv4Addr::new(10, 0, 1, number as u8).into()
}

/// Where a node hears the others.
pub fn peer(node: usize) -> SocketAddr {
    (node_ip(node), PEER_PORT).into()
}

/// Where a node hears replicas.
pub fn server(node: usize) -> SocketAddr {
    (node_ip(node), CLIENT_PORT).into()
}

/// Where a source hears nodes.
pub fn source(number: u64) -> SocketAddr {
    (source_ip(number), CLIENT_PORT).into()
}
