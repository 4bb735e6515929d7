//! The ways to look at a scan: magnified, enlarged, side by side, with another window and other colors.

use fantoccini::{Client, Locator};

use super::fixtures::script;
use super::page::{click, text};

const DRAWN: &str = "return document.querySelector('.view canvas').toDataURL()";

/// Chooses an entry of a menu.
async fn choose(client: &Client, css: &str, label: &str) {
    let menu = client.find(Locator::Css(css)).await.unwrap();
    menu.select_by_label(label).await.unwrap();
}

/// Looks at the scan and the result that are open, and leaves both as they were.
pub async fn look_around(client: &Client) {
    let whole = script(client, DRAWN).await;
    let canvas = client.find(Locator::Css(".view canvas")).await.unwrap();
    canvas.send_keys("++").await.unwrap();
    assert!(text(client, ".view figcaption").await.contains("× 1.6"));
    assert_ne!(script(client, DRAWN).await, whole, "magnified");
    canvas.send_keys("r").await.unwrap();
    assert_eq!(script(client, DRAWN).await, whole, "the whole slice again");

    let num_shown = "return [...document.querySelectorAll('.view')]\
                     .filter(view => view.offsetParent !== null).length";
    canvas.send_keys("\u{e007}").await.unwrap();
    assert_eq!(script(client, num_shown).await, 1, "one slice is enlarged");
    canvas.send_keys("\u{e007}").await.unwrap();
    assert_eq!(script(client, num_shown).await, 3);

    let press = |kind: &str| {
        format!("window.dispatchEvent(new KeyboardEvent('{kind}', {{ key: 'h', bubbles: true }}))")
    };
    script(client, &press("keydown")).await;
    let without = script(client, DRAWN).await;
    script(client, &press("keyup")).await;
    assert_ne!(without, script(client, DRAWN).await, "the overlay is hidden while the key is held");

    let before = slice_number(client).await;
    click(client, "#mosaic").await;
    assert_eq!(script(client, num_shown).await, 0, "slices side by side");
    click(client, ".mosaic canvas").await;
    assert_eq!(script(client, num_shown).await, 3, "a click shows a slice in three planes");
    let after = slice_number(client).await;
    assert_ne!(after, before, "the slice in the middle of the mosaic");
    let key = if after < before { "\u{e00e}" } else { "\u{e00f}" };
    canvas.send_keys(&key.repeat(after.abs_diff(before))).await.unwrap();
    assert_eq!(script(client, DRAWN).await, whole);
    check_window(client).await;
}

/// Returns the number of the axial slice.
async fn slice_number(client: &Client) -> usize {
    let caption = text(client, ".view figcaption span").await;
    caption.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

/// A window is remembered for the next scan, until it is forgotten.
async fn check_window(client: &Client) {
    let gray = script(client, DRAWN).await;
    choose(client, "#window-preset", "High contrast").await;
    let contrast = script(client, DRAWN).await;
    assert_ne!(contrast, gray);
    let stored = "return localStorage.getItem('rewind.windows') ?? ''";
    assert!(script(client, stored).await.as_str().unwrap().contains("factor"));
    choose(client, "#window-preset", "Standard").await;
    assert_eq!(script(client, DRAWN).await, gray);
    assert!(!script(client, stored).await.as_str().unwrap().contains("factor"), "forgotten");
    choose(client, "#colormap", "Viridis").await;
    assert_ne!(script(client, DRAWN).await, gray);
    choose(client, "#colormap", "Gray").await;
    assert_eq!(script(client, DRAWN).await, gray);
}
