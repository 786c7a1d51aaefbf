//! Archives that strangers made: one member is read out, nothing is unpacked.
