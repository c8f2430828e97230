// What `tern verify` computes where no text is given: the beginning of Lewis Carroll's "Alice's
// Adventures in Wonderland" (1865), and characters of other scripts. Never change it: hashes of
// its logits are compared across versions.
#pragma once

namespace tern::cli {

inline constexpr const char* kVerifyText =
    "Alice was beginning to get very tired of sitting by her sister on the bank, and of having "
    "nothing to do: once or twice she had peeped into the book her sister was reading, but it had "
    "no pictures or conversations in it, \"and what is the use of a book,\" thought Alice "
    "\"without pictures or conversations?\"\n\n"
    "So she was considering in her own mind (as well as she could, for the hot day made her feel "
    "very sleepy and stupid), whether the pleasure of making a daisy-chain would be worth the "
    "trouble of getting up and picking the daisies, when suddenly a White Rabbit with pink eyes "
    "ran close by her.\n\n"
    "There was nothing so very remarkable in that; nor did Alice think it so very much out of the "
    "way to hear the Rabbit say to itself, \"Oh dear! Oh dear! I shall be late!\" (when she "
    "thought it over afterwards, it occurred to her that she ought to have wondered at this, but "
    "at the time it all seemed quite natural); but when the Rabbit actually took a watch out of "
    "its waistcoat-pocket, and looked at it, and then hurried on, Alice started to her feet.\n\n"
    "1 234 567,89 \xE2\x82\xAC; na\xC3\xAFve caf\xC3\xA9; "
    "\xCE\xB1\xCE\xB2\xCE\xB3; \xD0\xBC\xD0\xB8\xD1\x80; \xE4\xB8\x96\xE7\x95\x8C; "
    "\xF0\x9F\x90\x87.\n";

}  // namespace tern::cli
