// TorchScript made at random to mislead alias analyses: views, in-place operators, lists and
// dictionaries that are changed, branches and loops, operators that hide the memory they share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace cleave::test {

/// One forward() of square float tensors x and y, a whole number k and a list of tensors l. Equal
/// seeds give equal text everywhere. It may be one that libtorch itself cannot run.
class HostileSource {
 public:
  explicit HostileSource(std::uint64_t seed) : random_(seed) {}

  std::string forward() {
    text_ = "def forward(self, x: Tensor, y: Tensor, k: int, l: List[Tensor]):\n";
    tensors_ = {"x", "y"};
    lists_ = {"l"};
    dicts_.clear();
    depth_ = 1;
    names_ = 0;
    // Mostly the network works on values of its own, as networks do; sometimes on its inputs.
    if (below(4) != 0) {
      line("x = torch.tanh(torch.matmul(x, y))");
      line("y = torch.sigmoid(y)");
    }
    const std::size_t count = 6 + below(14);
    for (std::size_t i = 0; i < count; ++i) statement();
    line("return " + results());
    return text_;
  }

 private:
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(random_() % bound); }
  template <class T>
  const T& any(const std::vector<T>& of) {
    return of[below(of.size())];
  }
  std::string tensor() { return any(tensors_); }
  std::string fresh(const char* prefix) { return prefix + std::to_string(names_++); }
  void line(const std::string& text) {
    text_ += std::string(2 * static_cast<std::size_t>(depth_), ' ') + text + "\n";
  }

  // A square tensor that shares no memory with others.
  std::string computed() {
    const std::string t = tensor();
    switch (below(6)) {
      case 0:
        return "torch.tanh(" + t + ")";
      case 1:
        return "torch.matmul(" + t + ", " + tensor() + ") * 0.2";
      case 2:
        return "(" + t + " + " + tensor() + ") * 0.5";
      case 3:
        return "torch.relu(" + t + ")";
      case 4:
        return t + ".clone()";
      default:
        return "torch.stack([" + t + ", " + tensor() + "]).mean(0)";
    }
  }

  // A square tensor that is another's memory, or may be.
  std::string view() {
    const std::string t = tensor();
    switch (below(25)) {
      case 0:
        return t + ".t()";
      case 1:
        return t + "[:, 0:" + t + ".size(1)]";
      case 2:
        return t + ".view(-1).view(" + t + ".size(0), -1)";
      case 3:
        return t + ".unsqueeze(0).squeeze(0)";
      case 4:
        return t + ".detach()";
      case 5:
        return "torch.atleast_2d(" + t + ")";
      case 6:
        return "torch.dropout(" + t + ", 0.5, False)";
      case 7:
        return "torch.feature_dropout(" + t + ", 0.5, False)";
      case 8:
        return "torch.broadcast_tensors([" + t + ", " + tensor() + "])[" +
               std::to_string(below(2)) + "]";
      case 9:
        return "torch.einsum(\"ij->ji\", [" + t + "])";
      case 10:
        return "torch.einsum(\"ij->ij\", [" + t + "])";
      case 11:
        return t + ".type_as(" + tensor() + ")";
      case 12:
        return t + ".sum_to_size([" + t + ".size(0), " + t + ".size(1)])";
      case 13:
        return "torch.conj_physical(" + t + ")";
      case 14:
        return t + ".contiguous()";
      case 15:
        return t + ".to(6)";  // float32
      case 16:
        return "torch.as_strided(" + t + ", [" + t + ".size(0), " + t + ".size(1)], [" + t +
               ".size(1), 1], 0)";
      case 17:
        return "torch.atleast_2d([" + t + ", " + tensor() + "])[" + std::to_string(below(2)) + "]";
      case 18:
        return t + ".reshape(-1).reshape(" + t + ".size(0), -1)";
      case 19:
        return "torch.chain_matmul([" + t + "])";
      case 20:
        return t + ".expand([" + t + ".size(0), " + t + ".size(1)])";
      case 21:
        return t + ".expand([2, " + t + ".size(0), " + t + ".size(1)])[1]";
      case 22:
        return "torch.split(" + t + ", " + t + ".size(0))[0]";
      case 23:
        return "torch._neg_view(" + t + ")";
      default:
        return t;
    }
  }

  std::string element(const std::string& list) {
    return list + "[" + std::to_string(below(3)) + " % len(" + list + ")]";
  }

  std::string value() {
    const std::size_t choice = below(10);
    if (choice < 3)
      return computed();
    if (choice == 8)
      return element(any(lists_));
    if (choice == 9 && !dicts_.empty())
      return any(dicts_) + "[\"a\"]";
    return view();
  }

  void write() {
    const std::string t = tensor();
    switch (below(14)) {
      case 0:
        return line(t + ".add_(0.25)");
      case 1:
        return line(t + ".mul_(" + tensor() + ")");
      case 2:
        return line("torch.relu_(" + t + ")");
      case 3:
        return line(t + "[:, 0:2].mul_(0.5)");
      case 4:
        return line(t + "[1].add_(" + tensor() + "[0])");
      case 5:
        return line(below(6) ? t + ".neg_()" : t + ".t_()");  // the second is always refused
      case 6:
        return line(t + ".copy_(" + tensor() + ".clone())");
      case 7:
        return line(t + "[0, 1] = 0.75");
      case 8:
        return line(t + " *= 0.5");
      case 9:
        return line("torch.sigmoid_(" + t + ")");
      case 10:
        return line(t + ".diagonal().zero_()");
      case 11:
        return line("(" + view() + ").tanh_()");
      case 12:
        return line(element(any(lists_)) + ".mul_(0.5)");
      default:
        return line(t + ".view(-1)[1:3].fill_(0.125)");
    }
  }

  void list_statement() {
    const std::string list = any(lists_);
    switch (below(9)) {
      case 0: {
        const std::string name = fresh("l");
        line(name + " = [" + tensor() + ", " + value() + "]");
        lists_.push_back(name);
        return;
      }
      case 1:
        return line(list + ".append(" + value() + ")");
      case 2:
        return line(element(list) + " = " + value());
      case 3:
        return line(list + ".reverse()");
      case 4:
        return line(list + ".insert(0, " + tensor() + ")");
      case 5: {
        const std::string name = fresh("l");
        line(name + " = " + list);
        lists_.push_back(name);
        return;
      }
      case 6:
        line("for e" + std::to_string(depth_) + " in " + list + ":");
        ++depth_;
        line("e" + std::to_string(depth_ - 1) + ".mul_(0.75)");
        --depth_;
        return;
      case 7: {
        const std::string name = fresh("l");
        line(name + " = " + list + "[0:2]");
        lists_.push_back(name);
        return;
      }
      default: {
        const std::string name = fresh("l");
        line(name + " = torch.broadcast_tensors([" + tensor() + ", " + tensor() + "])");
        lists_.push_back(name);
        return;
      }
    }
  }

  void dict_statement() {
    if (dicts_.empty() || below(3) == 0) {
      const std::string name = fresh("d");
      line(name + " = {\"a\": " + tensor() + ", \"b\": " + value() + "}");
      dicts_.push_back(name);
      return;
    }
    const std::string dict = any(dicts_);
    switch (below(3)) {
      case 0:
        return line(dict + "[\"" + (below(2) ? "a" : "c") + "\"] = " + value());
      case 1:
        return line(dict + "[\"a\"].add_(0.125)");
      default:
        line("for v" + std::to_string(depth_) + " in " + dict + ".values():");
        ++depth_;
        line("v" + std::to_string(depth_ - 1) + ".mul_(0.75)");
        --depth_;
        return;
    }
  }

  // What is named inside a branch is not known behind it.
  void block() {
    const auto tensors = tensors_, lists = lists_, dicts = dicts_;
    ++depth_;
    const std::size_t count = 1 + below(3);
    for (std::size_t i = 0; i < count; ++i) statement();
    if (below(2))
      line(any(tensors) + " = " + value());
    --depth_;
    tensors_ = tensors;
    lists_ = lists;
    dicts_ = dicts;
  }

  void branch() {
    switch (below(4)) {
      case 0:
        line("for i" + std::to_string(depth_) + " in range(k):");
        return block();
      case 1:
        line("for i" + std::to_string(depth_) + " in range(2):");
        return block();
      default:
        line(below(2) ? "if bool(" + tensor() + ".sum() > 0.1):"
                      : "if k > " + std::to_string(below(3)) + ":");
        block();
        if (below(2)) {
          line("else:");
          block();
        }
    }
  }

  void statement() {
    const std::size_t choice = below(20);
    if (choice < 8) {
      const std::string name = below(4) ? fresh("t") : tensor();
      line(name + " = " + value());
      if (std::find(tensors_.begin(), tensors_.end(), name) == tensors_.end())
        tensors_.push_back(name);
    } else if (choice < 14) {
      write();
    } else if (choice < 16) {
      list_statement();
    } else if (choice < 17) {
      dict_statement();
    } else if (choice < 18) {
      const std::string name = fresh("p"), item = fresh("t");
      line(name + " = (" + tensor() + ", " + value() + ")");
      line(item + " = " + name + "[" + std::to_string(below(2)) + "]");
      tensors_.push_back(item);
    } else if (choice < 19 && depth_ < 3) {
      branch();
    } else {
      line(tensor() + " = torch.matmul(" + tensor() + ", " + tensor() + ") * 0.2");
    }
  }

  std::string results() {
    std::string text = tensor() + ", " + tensor();
    if (below(2))
      text += ", " + any(lists_);
    if (!dicts_.empty() && below(2))
      text += ", " + any(dicts_);
    if (below(3) == 0)
      text += ", (" + tensor() + ", k + 1)";
    return text + ", " + tensor() + " + " + tensor();
  }

  std::mt19937_64 random_;
  std::string text_;
  std::vector<std::string> tensors_, lists_, dicts_;
  int depth_ = 1;
  std::size_t names_ = 0;
};

}  // namespace cleave::test
