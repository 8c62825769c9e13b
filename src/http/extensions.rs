//! What a door without connections of ours says of a request, among its extensions.

use std::net::IpAddr;

/// Put among a request's extensions by a door that knows by itself who asks: the caller is root.
#[derive(Debug, Clone, Copy)]
pub struct PreAuthenticated;

/// Put among a request's extensions by a door without connections of ours: the client's address.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub IpAddr);
