//! `#[test]` for programs whose `main` is `support::harness::run`. It registers the function there, so that a test
//! can skip itself at run time. The built-in harness knows only passed and failed.

use proc_macro::{TokenStream, TokenTree};

/// Registers a function without parameters as a test. Honors `#[ignore]` below it.
///
/// # Panics
/// If the item is not a function.
#[proc_macro_attribute]
pub fn test(_: TokenStream, item: TokenStream) -> TokenStream {
    let mut kept = TokenStream::new();
    let mut name = None;
    let mut ignored = false;
    let mut tokens = item.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let is_attribute = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '#');
        if is_attribute && tokens.peek().is_some_and(is_ignore) {
            tokens.next();
            ignored = true;
            continue;
        }
        if name.is_none() && token.to_string() == "fn" {
            name = tokens.peek().map(ToString::to_string);
        }
        kept.extend([token]);
    }
    let name = name.expect("a function");
    let registered: TokenStream = format!(
        "::inventory::submit! {{ crate::support::harness::Test {{ \
         name: ::core::concat!(::core::module_path!(), \"::{name}\"), ignored: {ignored}, run: {name} }} }}"
    )
    .parse()
    .expect("Rust");
    kept.extend(registered);
    kept
}

fn is_ignore(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group)
        if group.stream().into_iter().next().is_some_and(|word| word.to_string() == "ignore"))
}
