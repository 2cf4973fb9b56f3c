// A child process that is spoken to line by line.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace bench_link {

/// Ends when its standard input is closed, which the destructor does and waits for.
class Process {
 public:
  explicit Process(const std::vector<std::string>& arguments);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  /// Throws what the child says after "error".
  std::string ask(const std::string& line);
  /// The next line the child says by itself.
  std::string listen();

 private:
  int pid_ = -1;
  std::FILE* to_ = nullptr;
  std::FILE* from_ = nullptr;
  std::string name_;
};

}  // namespace bench_link
