#include "cli/line_reader.h"

#include <fcntl.h>
#include <histedit.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <system_error>

#include "cli/streams.h"
#include "text/utf8.h"

namespace tern::cli {
namespace {

enum class Ready { kInput, kWoken, kFailed };

// Waits for input, or for the pipe.
Ready wait_for_input(const WakePipe& wake) {
  std::array<pollfd, 2> files{pollfd{STDIN_FILENO, POLLIN, 0}, pollfd{wake.reader(), POLLIN, 0}};
  while (::poll(files.data(), files.size(), -1) < 0) {
    if (errno != EINTR) return Ready::kFailed;
  }
  if (files[1].revents != 0) {
    wake.drain();
    return Ready::kWoken;
  }
  return Ready::kInput;
}

Error cannot_read() {
  return {ErrorCode::kIo, "cannot read: " + std::generic_category().message(errno),
          "standard input"};
}

class PlainReader final : public LineReader {
 public:
  explicit PlainReader(const WakePipe& wake) : wake_(wake) {}

  Result<InputLine> read(const std::string& prompt) override {
    if (stdin_is_terminal()) write_stderr(prompt);
    for (;;) {
      if (const auto end = held_.find('\n', searched_); end != std::string::npos) {
        InputLine line{InputLine::Kind::kText, held_.substr(0, end)};
        held_.erase(0, end + 1);
        searched_ = 0;
        return line;
      }
      searched_ = held_.size();
      const Ready ready = wait_for_input(wake_);
      if (ready == Ready::kFailed) return cannot_read();
      if (ready == Ready::kWoken) return InputLine{InputLine::Kind::kInterrupted, ""};
      std::array<char, 1 << 12> part{};
      const ssize_t count = ::read(STDIN_FILENO, part.data(), part.size());
      if (count < 0 && errno != EINTR && errno != EAGAIN) return cannot_read();
      if (count > 0) held_.append(part.data(), static_cast<std::size_t>(count));
      if (count != 0) continue;
      searched_ = 0;
      if (held_.empty()) return InputLine{InputLine::Kind::kEnd, ""};
      return InputLine{InputLine::Kind::kText, std::exchange(held_, {})};
    }
  }

 private:
  const WakePipe& wake_;
  std::string held_;  // read, and not yet a line
  std::size_t searched_ = 0;
};

// By libedit, which reads its characters here, so that a signal can end the wait for one.
class EditReader final : public LineReader {
 public:
  EditReader(const WakePipe& wake, bool colour) : wake_(wake), colour_(colour) {
    std::setlocale(LC_CTYPE, "C.UTF-8");  // libedit shows and measures characters by it
    edit_ = el_init("tern", stdin, stdout, stderr);
    history_ = history_init();
    HistEvent event{};
    ::history(history_, &event, H_SETSIZE, 1000);
    ::history(history_, &event, H_SETUNIQUE, 1);
    el_set(edit_, EL_CLIENTDATA, this);
    el_set(edit_, EL_EDITOR, "emacs");
    el_set(edit_, EL_HIST, ::history, history_);
    el_set(edit_, EL_PROMPT_ESC, &EditReader::show_prompt, kEscape);
    el_set(edit_, EL_GETCFN, &EditReader::next_character);
  }
  ~EditReader() override {
    history_end(history_);
    el_end(edit_);
  }
  EditReader(const EditReader&) = delete;
  EditReader& operator=(const EditReader&) = delete;

  Result<InputLine> read(const std::string& prompt) override {
    const std::string mark(1, kEscape);
    // Ends with a character that is shown: libedit keeps a sequence back until one follows.
    prompt_ = colour_ ? mark + "\x1b[1;32m" + mark + prompt.substr(0, 1) + mark + "\x1b[0m" + mark +
                            prompt.substr(1)
                      : prompt;
    woken_ = false;
    int count = 0;
    el_resize(edit_);
    el_set(edit_, EL_PREP_TERM, 1);  // before the prompt is there to be answered
    const char* const text = el_gets(edit_, &count);
    if (woken_) {
      el_reset(edit_);
      write_stderr("^C\n");
      return InputLine{InputLine::Kind::kInterrupted, ""};
    }
    if (text == nullptr || count <= 0) return InputLine{InputLine::Kind::kEnd, ""};
    InputLine line{InputLine::Kind::kText, std::string(text, static_cast<std::size_t>(count))};
    HistEvent event{};
    if (line.text != "\n") ::history(history_, &event, H_ENTER, text);
    if (line.text.ends_with('\n')) line.text.pop_back();
    return line;
  }

 private:
  static constexpr char kEscape = '\1';  // what libedit does not count as width stands between two

  static EditReader& of(EditLine* edit) {
    void* data = nullptr;
    el_get(edit, EL_CLIENTDATA, &data);
    return *static_cast<EditReader*>(data);
  }
  static char* show_prompt(EditLine* edit) { return of(edit).prompt_.data(); }

  // One character of UTF-8; a byte that is none is U+FFFD.
  static int next_character(EditLine* edit, wchar_t* out) {
    EditReader& self = of(edit);
    std::string bytes;
    for (;;) {
      const Ready ready = wait_for_input(self.wake_);
      self.woken_ = ready == Ready::kWoken;
      if (ready != Ready::kInput) return -1;
      char byte = 0;
      const ssize_t count = ::read(STDIN_FILENO, &byte, 1);
      if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (count <= 0) return static_cast<int>(count);
      bytes += byte;
      const text::Utf8Sequence sequence = text::next_utf8(bytes, 0);
      if (sequence.status == text::Utf8Status::kCut) continue;
      const bool valid = sequence.status == text::Utf8Status::kValid;
      *out = valid ? static_cast<wchar_t>(sequence.code_point) : L'\uFFFD';
      return 1;
    }
  }

  const WakePipe& wake_;
  bool colour_;
  bool woken_ = false;
  std::string prompt_;
  EditLine* edit_ = nullptr;
  ::History* history_ = nullptr;
};

}  // namespace

Result<WakePipe> WakePipe::create() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
    return Error{ErrorCode::kIo, "cannot make a pipe: " + std::generic_category().message(errno),
                 ""};
  }
  return WakePipe(FileDescriptor(ends[0]), FileDescriptor(ends[1]));
}

void WakePipe::wake() const {
  const char byte = 0;
  [[maybe_unused]] const ssize_t written = ::write(writer_.get(), &byte, 1);  // full: it is awake
}

void WakePipe::drain() const {
  std::array<char, 64> bytes{};
  while (::read(reader_.get(), bytes.data(), bytes.size()) > 0) continue;
}

bool stdin_is_terminal() { return ::isatty(STDIN_FILENO) == 1; }

std::unique_ptr<LineReader> make_line_reader(const WakePipe& wake, bool colour) {
  const char* const terminal = std::getenv("TERM");  // NOLINT: nobody sets it
  const bool edits = stdin_is_terminal() && ::isatty(STDOUT_FILENO) == 1 && terminal != nullptr &&
                     *terminal != '\0' && std::string_view(terminal) != "dumb";
  if (edits) return std::make_unique<EditReader>(wake, colour);
  return std::make_unique<PlainReader>(wake);
}

}  // namespace tern::cli
