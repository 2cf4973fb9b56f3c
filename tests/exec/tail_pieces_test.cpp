#include "lib/exec/tail_pieces.hpp"

#include "tests/support/fake_executable.hpp"
#include "tests/support/split_at.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

namespace cleave::tests {
namespace {

using core::milliseconds;
using core::Seconds;

// Where the pieces end, as numbers of steps.
std::vector<std::uint32_t> positions(const exec::TailPieces& pieces, const FakeExecutable& model,
                                     std::size_t cut) {
  std::vector<std::uint32_t> out;
  for (const core::CutId end : pieces.ends(split_at(model, cut).stages.front()))
    for (const core::Cut& known : model.cuts())
      if (known.id == end)
        out.push_back(known.position);
  return out;
}

// The whole network, piece by piece.
void run(exec::TailPieces& pieces, const FakeExecutable& model) {
  core::CutId from = model.cuts().front().id;
  core::Values values = model.example();
  for (const core::CutId to : pieces.ends(split_at(model, 0).stages.front())) {
    auto next = pieces.run(from, to, values);
    ASSERT_TRUE(next);
    values = std::move(*next);
    from = to;
  }
  EXPECT_EQ(floats_of(values), model.expected());
}

TEST(TailPieces, AreOfAsManyStepsUntilTheirTimesAreKnown) {
  const FakeExecutable model(std::vector<Seconds>(20, milliseconds(1)), 4);
  const exec::TailPieces pieces(model);
  EXPECT_EQ(positions(pieces, model, 0), (std::vector<std::uint32_t>{3, 6, 9, 12, 15, 18, 20}));
  EXPECT_EQ(positions(pieces, model, 12),
            (std::vector<std::uint32_t>{13, 14, 15, 16, 17, 18, 19, 20}));
  EXPECT_EQ(positions(pieces, model, 19), (std::vector<std::uint32_t>{20}));
  EXPECT_EQ(positions(pieces, model, 20), (std::vector<std::uint32_t>{20}));
}

TEST(TailPieces, OfLongAndShortStepsTakeAsLong) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 50; ++round) {
    std::vector<Seconds> steps;
    for (int i = 0; i < 40; ++i)
      steps.push_back(milliseconds(std::exp(std::uniform_real_distribution<>(0, 5)(random))));
    core::ManualClock clock;
    const FakeExecutable model(steps, 4, &clock);
    exec::TailPieces pieces(model);
    run(pieces, model);
    for (const std::uint32_t cut : {0u, 10u, 30u}) {
      const Seconds all = std::accumulate(steps.begin() + cut, steps.end(), Seconds());
      std::uint32_t from = cut;
      const auto ends = positions(pieces, model, cut);
      ASSERT_EQ(ends.back(), 40u);
      for (const std::uint32_t to : ends) {
        const Seconds took = std::accumulate(steps.begin() + from, steps.begin() + to, Seconds());
        // An eighth, reached with its last step.
        EXPECT_LT(took - steps[to - 1], all * 0.125 + core::microseconds(1));
        if (to != 40) {
          EXPECT_GT(took, all * 0.125 - core::microseconds(1));
        }
        from = to;
      }
    }
  }
}

// Or a clock that is too coarse for them.
TEST(TailPieces, StepsThatTakeNoTimeMakeNoMorePieces) {
  const FakeExecutable model(std::vector<Seconds>(20), 4);
  exec::TailPieces pieces(model);
  const auto before = positions(pieces, model, 0);
  run(pieces, model);
  EXPECT_EQ(positions(pieces, model, 0), before);
  // Nor do those before and behind the ones that do.
  std::vector<Seconds> steps(40);
  for (std::size_t i = 16; i < 24; ++i) steps[i] = milliseconds(1);
  const FakeExecutable some(steps, 4);
  exec::TailPieces of_some(some);
  run(of_some, some);
  EXPECT_EQ(positions(of_some, some, 0),
            (std::vector<std::uint32_t>{17, 18, 19, 20, 21, 22, 23, 24, 40}));
  EXPECT_EQ(positions(of_some, some, 30), (std::vector<std::uint32_t>{40}));
}

// As the first run of a step is on a real device.
TEST(TailPieces, TheLeastOfTheFirstRunsCounts) {
  class Cold final : public core::Executable {
   public:
    core::Fingerprint fingerprint() const override { return inner.fingerprint(); }
    std::span<const core::Cut> cuts() const override { return inner.cuts(); }
    std::uint32_t step_count() const override { return inner.step_count(); }
    core::Result<core::Values> run(core::CutId begin, core::CutId end,
                                   const core::Values& values) const override {
      ++untimed;
      return inner.run(begin, end, values);
    }
    core::Result<core::Values> run_timed(core::CutId begin, core::CutId end,
                                         const core::Values& values,
                                         std::vector<core::StepTime>& times) const override {
      auto result = inner.run_timed(begin, end, values, times);
      if (timed++ == 0)
        times.front().time += Seconds(1);
      return result;
    }
    core::Result<void> set_threads(int) const override { return {}; }
    FakeExecutable inner{std::vector<Seconds>(16, milliseconds(1)), 4};
    mutable int timed = 0, untimed = 0;
  };
  const Cold model;
  exec::TailPieces pieces(model);
  run(pieces, model.inner);
  EXPECT_EQ(positions(pieces, model.inner, 0).front(), 1u);  // a second of a second
  run(pieces, model.inner);
  EXPECT_EQ(positions(pieces, model.inner, 0),
            (std::vector<std::uint32_t>{2, 4, 6, 8, 10, 12, 14, 16}));
  run(pieces, model.inner);
  // What is known is not timed again.
  const int timed = model.timed;
  EXPECT_EQ(model.untimed, 0);
  run(pieces, model.inner);
  EXPECT_EQ(model.timed, timed);
  EXPECT_EQ(model.untimed, 8);
}

}  // namespace
}  // namespace cleave::tests
