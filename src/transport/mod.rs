//! How datagrams travel.
