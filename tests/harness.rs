//! The promises' own tools can fail, and say so.

use promises::alone;

#[test]
fn work_alone_answers_with_its_argument_and_its_peak_memory() {
    let outcome =
        alone("harness::work_alone_answers_with_its_argument_and_its_peak_memory", "3", {
            |argument| {
                let held = vec![argument.len() as u8; 200 << 20];
                format!("{argument} {}", held.iter().map(|&x| x as usize).sum::<usize>() >> 20)
            }
        });
    assert_eq!(outcome.answer.unwrap(), "3 200");
    if let Some(peak_bytes) = outcome.peak_bytes {
        assert!((200 << 20..2 << 30).contains(&peak_bytes), "{peak_bytes}");
    }
}

#[test]
fn work_alone_that_panics_is_an_error_with_its_message() {
    let name = "harness::work_alone_that_panics_is_an_error_with_its_message";
    let outcome = alone(name, "", |_| panic!("as it should"));
    let error = outcome.answer.unwrap_err();
    assert!(error.contains("as it should"), "{error}");
}
