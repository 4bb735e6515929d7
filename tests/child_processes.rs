//! Work in a child process returns its answer, its peak memory or its panic.

use integration_tests::in_child_process;

#[test]
fn a_child_process_answers_with_its_argument_and_its_peak_memory() {
    let name = "child_processes::a_child_process_answers_with_its_argument_and_its_peak_memory";
    let outcome = in_child_process(name, "3", |argument| {
        let held = vec![argument.len() as u8; 200 << 20];
        format!("{argument} {}", held.iter().map(|&x| x as usize).sum::<usize>() >> 20)
    });
    assert_eq!(outcome.answer.unwrap(), "3 200");
    if let Some(peak_bytes) = outcome.peak_bytes {
        assert!((200 << 20..2 << 30).contains(&peak_bytes), "{peak_bytes}");
    }
}

#[test]
fn a_panic_in_a_child_process_is_an_error_with_its_message() {
    let name = "child_processes::a_panic_in_a_child_process_is_an_error_with_its_message";
    let outcome = in_child_process(name, "", |_| panic!("as it should"));
    let error = outcome.answer.unwrap_err();
    assert!(error.contains("as it should"), "{error}");
}
