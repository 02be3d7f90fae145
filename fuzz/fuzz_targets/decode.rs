#![no_main]

libfuzzer_sys::fuzz_target!(|datagram: &[u8]| {
    headcount::fuzz::decode(datagram);
});
