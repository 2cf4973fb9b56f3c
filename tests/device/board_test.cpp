#include "tests/device/fake_kernel.hpp"

#include <cleave/device/board.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <fstream>

namespace cleave::device_tests {
namespace {

using device::Board;
using device::find_board;
using device::load_board;

const fs::path folder = fs::path(CLEAVE_SOURCE_DIR) / "data/boards";

std::vector<fs::path> all_boards() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".json")
      files.push_back(entry.path());
  return files;
}

TEST(Boards, AreAllReadableAndNamedAfterTheirFiles) {
  ASSERT_GE(all_boards().size(), 4u);
  for (const auto& file : all_boards()) {
    const auto board = load_board(file);
    ASSERT_TRUE(board) << board.error().message();
    EXPECT_EQ(board->name, file.stem());
    EXPECT_FALSE(board->citation().empty());
    // The text says it with an address.
    for (const auto& source : board->sources)
      EXPECT_NE(source.find("https://"), std::string::npos) << source;
  }
}

TEST(Boards, DrawMorePowerTheMoreTheyDo) {
  for (const auto& file : all_boards()) {
    const Board board = load_board(file).value();
    for (std::size_t level = 0; level < board.levels.size(); ++level) {
      for (int cores = 1; cores <= board.cores; ++cores)
        EXPECT_GE(board.power(level, cores), board.power(level, cores - 1)) << file;
      if (level > 0) {
        EXPECT_GE(board.power(level, board.cores), board.power(level - 1, board.cores)) << file;
      }
      EXPECT_GE(board.machine_power(level, board.cores), board.power(level, board.cores));
    }
  }
}

TEST(Boards, DeriveOneCoreLinearly) {
  for (const auto& file : all_boards()) {
    const Board board = load_board(file).value();
    for (const auto& level : board.levels)
      if (level.busy_one_core.derived) {
        EXPECT_NEAR(level.busy_one_core.watts.count(),
                    level.idle.watts.count() + (level.busy.watts - level.idle.watts).count() /
                                                   (level.cores > 0 ? level.cores : board.cores),
                    6e-4)
            << file << " " << level.label;
      }
  }
}

// P = P_static + C V^2 f from the two published points.
TEST(RaspberryPi4, DerivesItsLevelsFromPublishedPoints) {
  const Board board = find_board("raspberry_pi_4").value();
  const double idle = 2.7, busy = 6.4;
  bool published = false;
  for (const auto& level : board.levels) {
    EXPECT_EQ(level.idle.watts.count(), idle);
    const double ratio =
        level.voltage * level.voltage * level.frequency.count() / (0.88 * 0.88 * 1.5e9);
    EXPECT_NEAR(level.busy.watts.count(), idle + (busy - idle) * ratio, 6e-4) << level.label;
    published = published || (!level.busy.derived && level.busy.watts.count() == busy &&
                              level.frequency.count() == 1.5e9);
  }
  EXPECT_TRUE(published);
}

TEST(RaspberryPi5, NeverClaimsLessThanAConstantVoltage) {
  const Board board = find_board("raspberry_pi_5").value();
  for (const auto& level : board.levels)
    EXPECT_NEAR(level.busy.watts.count(), 2.4 + 6.5 * level.frequency.count() / 2.4e9, 6e-4);
}

TEST(ServerXeon, TakesItsProcessorsShareOfTheMeasuredMachine) {
  const Board board = find_board("server_xeon").value();
  ASSERT_TRUE(board.machine);
  EXPECT_FALSE(board.machine->busy.derived);
  EXPECT_NEAR(board.levels[0].busy.watts.count(), 0.61 * board.machine->busy.watts.count(), 6e-4);
  EXPECT_NEAR(board.levels[0].idle.watts.count(), 0.61 * board.machine->idle.watts.count(), 6e-4);
  EXPECT_NEAR(board.machine_power(0, 0).count(), 47.4, 1e-9);
  EXPECT_NEAR(board.machine_power(0, 56).count(), 405, 1e-9);
}

// Each mode has its own clock and cores.
TEST(JetsonNano, BoundsItsPowerModes) {
  const Board board = find_board("jetson_nano").value();
  EXPECT_TRUE(board.by_mode);
  EXPECT_EQ(board.origin, core::Origin::modelled);
  ASSERT_EQ(board.levels.size(), 2u);
  EXPECT_EQ(board.levels[0].mode, "1");
  EXPECT_EQ(board.cores_at(0), 2);
  EXPECT_EQ(board.cores_at(1), 4);
  // The published point: two cores 82 % busy draw 2.0 W.
  EXPECT_NEAR(board.power(0, 2, 0.82).count(), 2.0, 1e-3);
  EXPECT_EQ(board.power(0, 4), board.power(0, 2)) << "the other cores are off";
  // At constant voltage, so at least that; NVIDIA's budgets bound both from above.
  EXPECT_NEAR(board.power(1, 4).count(), 0.94 + 1.293 * 2 * 1479 / 918, 1e-3);
  EXPECT_LE(board.power(0, 2), core::Watts(5));
  EXPECT_LE(board.power(1, 4), core::Watts(10));
}

TEST(JetsonOrinNano, ScalesOneUsersTraceByClocks) {
  const Board cpu = find_board("jetson_orin_nano").value();
  ASSERT_EQ(cpu.levels.size(), 3u);
  EXPECT_EQ(cpu.levels[2].mode, "2");
  // The published points, and four cores between one and six.
  EXPECT_NEAR(cpu.power(2, 1).count(), 6.73, 1e-9);
  EXPECT_NEAR(cpu.power(2, 4).count(), 6.21 + 4 * 0.52, 1e-3);
  EXPECT_NEAR(cpu.power(1, 6).count(), 6.21 + 6 * 0.52 * 1510.4 / 1728, 1e-3);
  const Board gpu = find_board("jetson_orin_nano_gpu").value();
  ASSERT_EQ(gpu.levels.size(), 3u);
  EXPECT_NEAR(gpu.power(2, 1).count(), 21.5, 1e-9);
  EXPECT_EQ(gpu.power(0, 6), gpu.power(0, 1)) << "one GPU, however many threads feed it";
  // NVIDIA names the modes by their budgets, of which nothing above knows.
  EXPECT_NEAR(gpu.power(0, 1).count(), 15, 1);
  EXPECT_LE(gpu.power(1, 1), core::Watts(25));
}

TEST(JetsonOrinNx, HasMeasuredPowerModes) {
  const Board board = find_board("jetson_orin_nx").value();
  ASSERT_EQ(board.levels.size(), 3u);
  for (const auto& level : board.levels) {
    EXPECT_FALSE(level.busy.derived);
    EXPECT_FALSE(level.mode.empty());
  }
  EXPECT_EQ(board.levels[0].frequency, board.levels[1].frequency)
      << "two modes may differ by the GPU's clock alone";
}

// One core of the published table above the published baseline; four times that for four.
TEST(Snapdragon845, AddsItsCoresToTheBaseline) {
  const Board board = find_board("snapdragon_845").value();
  for (const auto& level : board.levels)
    EXPECT_NEAR((level.busy.watts - level.idle.watts).count(),
                4 * (level.busy_one_core.watts - level.idle.watts).count(), 1e-4);
  EXPECT_NEAR((board.power(5, 1) - board.power(5, 0)).count(), 1.2978, 1e-4);
  EXPECT_NE(board.radio("lte"), nullptr);
}

TEST(ServerA100, AddsTheGpuToTheMachine) {
  const Board board = find_board("server_a100").value();
  EXPECT_NEAR(board.machine_power(0, 0).count(), 47.4 + 46, 1e-9);
  EXPECT_NEAR(board.machine_power(0, 1).count(), 407 + 47.4 + (405 - 47.4) / 56, 1e-3);
  EXPECT_EQ(board.power(0, 8), board.power(0, 1)) << "one GPU, however many threads feed it";
}

TEST(OdroidHc2, TradesEnergyForSpeedAboveItsBestClock) {
  const Board board = find_board("odroid_hc2").value();
  // Energy of a fixed amount of work: all levels are published measurements.
  const auto energy = [&](std::size_t level) {
    return board.levels[level].busy.watts.count() / board.levels[level].frequency.count();
  };
  std::size_t best = 0;
  for (std::size_t i = 1; i < board.levels.size(); ++i)
    if (energy(i) < energy(best))
      best = i;
  EXPECT_GT(best, 0u);
  EXPECT_LT(best, board.levels.size() - 1);
  for (const auto& level : board.levels) EXPECT_FALSE(level.busy.derived);
}

TEST(Boards, TellRadioEnergyPerByte) {
  const Board board = find_board("raspberry_pi_4").value();
  const auto* wifi = board.radio("wifi");
  ASSERT_NE(wifi, nullptr);
  // 283.17 mW per Mbit/s: a megabyte in 8 s at 1 Mbit/s takes 283.17e-3 * 8 J.
  EXPECT_NEAR((wifi->transmit * core::Bytes(1e6)).count(), 0.28317 * 8, 1e-4);
  EXPECT_NEAR((wifi->transmit_at(core::megabits_per_second(1)) * core::Bytes(1e6)).count(),
              (0.28317 + 0.13286) * 8, 1e-4);
  EXPECT_EQ(board.radio("carrier pigeon"), nullptr);
}

TEST(Boards, BecomeShareLevels) {
  const Board board = find_board("raspberry_pi_4").value();
  const auto levels = board.share_levels(0.4);
  ASSERT_EQ(levels.size(), board.levels.size());
  EXPECT_EQ(levels.back().value, 0.4);
  EXPECT_EQ(levels.front().label, "600 MHz");
  EXPECT_NEAR(levels.front().value, 0.4 * 600 / 2000, 1e-12);
}

TEST(Boards, MapThreadsToCores) {
  Board board;
  board.cores = 4;
  EXPECT_EQ(board.cores_for(1, 2), 2);
  EXPECT_EQ(board.cores_for(2, 2), 4);
  EXPECT_EQ(board.cores_for(3, 8), 2);
  EXPECT_EQ(board.cores_for(0, 2), 0);
  EXPECT_EQ(board.cores_for(9, 2), 4);
}

TEST(Boards, AreFoundInADataFolderOfTheUsers) {
  TemporaryFolder data;
  fs::create_directory(data.path() / "boards");
  auto text = std::ifstream(folder / "raspberry_pi_4.json");
  std::ofstream(data.path() / "boards/mine.json") << text.rdbuf();
  ::setenv("CLEAVE_DATA_DIR", data.path().c_str(), 1);
  EXPECT_TRUE(find_board("mine"));
  EXPECT_TRUE(find_board("server_xeon")) << "and in the usual places";
  ::unsetenv("CLEAVE_DATA_DIR");
  const auto gone = find_board("mine");
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, Errc::not_found);
  EXPECT_NE(gone.error().hint.find("raspberry_pi_4"), std::string::npos);
  EXPECT_TRUE(find_board((folder / "raspberry_pi_5.json").string()));
}

class BadBoard : public testing::Test {
 protected:
  core::Error error_after(const std::string& from, const std::string& to) {
    std::ifstream file(folder / "server_xeon.json");
    std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    std::ofstream(path_) << text;
    const auto board = load_board(path_);
    EXPECT_FALSE(board) << to;
    return board ? core::Error{} : board.error();
  }
  TemporaryFolder temporary_;
  fs::path path_ = temporary_.path() / "bad.json";
};

TEST_F(BadBoard, IsRefusedWithFileAndField) {
  const std::vector<std::array<std::string, 3>> faults{
      {"\"cores\": 56", "\"cores\": 0", "cores"},
      {"\"cores\": 56", "\"cores\": 1.5", "cores"},
      {"\"cores\": 56", "\"cores\": \"many\"", "cores"},
      {"\"kind\": \"server\"", "\"kind\": \"toaster\"", "kind"},
      {"\"format\": 1", "\"format\": 3", "format"},
      {"\"format\": 1,", "\"format\": 1, \"levels_by\": \"mode\",", "levels_by"},
      {"\"format\": 1,", "\"format\": 2, \"levels_by\": \"mood\",", "levels_by"},
      {"\"format\": 1,", "\"format\": 2, \"levels_by\": \"mode\",", "levels[0].mode"},
      {"\"format\": 1,", "\"format\": 2, \"origin\": \"guessed\",", "origin"},
      {"\"label\"", "\"mode\": \"1\", \"label\"", "levels[0].mode"},
      {"\"label\"", "\"cores\": 57, \"label\"", "levels[0].cores"},
      {"\"value\": 47.4", "\"error\": -1, \"value\": 47.4", "machine.idle_watts.error"},
      {"\"idle_watts\": {\"value\": 47.4", "\"idle_watts\": {\"value\": -1", "machine.idle_watts"},
      {"\"idle_watts\": {\"value\": 47.4", "\"idle_watts\": {\"value\": 500", "machine.busy_watts"},
      {"\"source\": \"specpower\"", "\"source\": \"hearsay\"", "hearsay"},
      {", \"source\": \"specpower\"", "", "source"},
      {"\"label\"", "\"lable\"", "levels[0].lable"},
      {"\"machine\": {", "\"engine\": {", "engine"},
      {"\"frequency_hz\": 2700000000", "\"frequency_hz\": 0", "levels[0].frequency_hz"},
  };
  for (const auto& [from, to, field] : faults) {
    const auto error = error_after(from, to);
    EXPECT_EQ(error.code, Errc::invalid_argument) << to;
    EXPECT_EQ(error.where, path_.string());
    EXPECT_NE(error.what.find(field), std::string::npos) << error.what;
  }
}

TEST_F(BadBoard, IsRefusedIfItIsNotJson) {
  EXPECT_EQ(error_after("{", "").code, Errc::corrupt);
  std::ofstream(path_) << "[]";
  EXPECT_EQ(load_board(path_).error().code, Errc::invalid_argument);
  EXPECT_EQ(load_board(temporary_.path() / "none.json").error().code, Errc::not_found);
}

}  // namespace
}  // namespace cleave::device_tests
