#include "tests/table/sample.hpp"

#include <cleave/core/bytes.hpp>
#include <cleave/core/file.hpp>
#include <cleave/core/hash.hpp>
#include <cleave/table/files.hpp>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

namespace {

using namespace cleave;
namespace fs = std::filesystem;
using core::Errc;
using tests::sample_graph_profile;
using tests::sample_graph_table;
using tests::sample_located_profile;
using tests::sample_located_table;
using tests::sample_observed_profile;
using tests::sample_predicted_profile;
using tests::sample_private_profile;
using tests::sample_profile;
using tests::sample_table;

const fs::path golden = fs::path(CLEAVE_SOURCE_DIR) / "tests/table/golden";

class TableFiles : public testing::Test {
 protected:
  TableFiles() {
    std::string name = (fs::temp_directory_path() / "cleave-table-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~TableFiles() override { fs::remove_all(folder_); }
  [[nodiscard]] fs::path path(const std::string& name) const { return folder_ / name; }
  [[nodiscard]] std::vector<std::byte> profile_bytes() const {
    EXPECT_TRUE(save(sample_private_profile(), path("p.bin")));
    return *core::read_file(path("p.bin"), 1 << 20);
  }
  // Thousands of files are written here; core::write_file would sync each to the disk, and so would
  // some file systems when a file is truncated and rewritten.
  void put(const std::string& name, std::span<const std::byte> bytes) const {
    fs::remove(path(name));
    std::ofstream(path(name), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  // The code of what loading these bytes as a profile gives; "loaded" if it works.
  [[nodiscard]] std::string load_code(std::span<const std::byte> bytes) const {
    put("x.bin", bytes);
    const auto loaded = table::load_profile(path("x.bin"));
    return loaded ? "loaded" : std::string(to_string(loaded.error().code));
  }
  fs::path folder_;
};

// A file with a right header around any payload.
std::vector<std::byte> framed(std::span<const std::byte> payload) {
  std::vector<std::byte> file;
  core::ByteWriter writer(file);
  const std::string_view magic = "CLVPROF1";
  writer.put_bytes(std::as_bytes(std::span(magic.data(), magic.size())));
  writer.put(table::profile_format_version);
  writer.put(std::uint64_t{payload.size()});
  writer.put(core::hash_bytes(payload));
  writer.put_bytes(payload);
  return file;
}

TEST_F(TableFiles, ProfileComesBackAsItWas) {
  ASSERT_TRUE(save(sample_private_profile(), path("p.bin")));
  const auto loaded = table::load_profile(path("p.bin"));
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(*loaded, sample_private_profile());
}

TEST_F(TableFiles, TableComesBackAsItWas) {
  ASSERT_TRUE(save(sample_located_table(), path("t.bin")));
  const auto loaded = table::load_table(path("t.bin"));
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(*loaded, sample_located_table());
}

// The golden files are written once per format version and kept for ever. To write those of a new
// version: CLEAVE_WRITE_GOLDEN=1 cleave_table_tests --gtest_filter='TableFiles.*Golden*'
TEST_F(TableFiles, GoldenProfileOfVersion1Loads) {
  const fs::path file = golden / "profile-v1.bin";
  const auto loaded = table::load_profile(file);
  ASSERT_TRUE(loaded) << loaded.error().message();
  const auto expected = sample_profile();
  EXPECT_EQ(loaded->model, expected.model);
  EXPECT_EQ(loaded->model_name, expected.model_name);
  EXPECT_EQ(loaded->codecs, expected.codecs);
  EXPECT_EQ(loaded->cuts, expected.cuts);
  for (const core::HostIndex host : {core::edge_host, core::cloud_host}) {
    EXPECT_EQ(loaded->hosts[host].name, expected.hosts[host].name);
    EXPECT_EQ(loaded->hosts[host].board, expected.hosts[host].board);
    EXPECT_EQ(loaded->hosts[host].source, expected.hosts[host].source);
    EXPECT_EQ(loaded->hosts[host].knobs, expected.hosts[host].knobs);
    EXPECT_EQ(loaded->hosts[host].settings, expected.hosts[host].settings);
    EXPECT_EQ(loaded->hosts[host].transmit, expected.hosts[host].transmit);
    EXPECT_EQ(loaded->hosts[host].receive, expected.hosts[host].receive);
  }
  EXPECT_EQ(loaded->link, expected.link);
  EXPECT_EQ(loaded->reply, expected.reply);
  EXPECT_EQ(loaded->chunk, expected.chunk);
  EXPECT_EQ(loaded->error, expected.error);
}

TEST_F(TableFiles, GoldenTableOfVersion1Loads) {
  const fs::path file = golden / "table-v1.bin";
  const auto loaded = table::load_table(file);
  ASSERT_TRUE(loaded) << loaded.error().message();
  const auto expected = sample_table();
  EXPECT_EQ(loaded->model, expected.model);
  EXPECT_EQ(loaded->model_name, expected.model_name);
  EXPECT_EQ(loaded->edge_knobs, expected.edge_knobs);
  EXPECT_EQ(loaded->cloud_knobs, expected.cloud_knobs);
  EXPECT_EQ(loaded->boundary, expected.boundary);
  EXPECT_EQ(loaded->reference, expected.reference);
  EXPECT_EQ(loaded->margin, expected.margin);
  ASSERT_EQ(loaded->rows.size(), expected.rows.size());
  for (std::size_t r = 0; r < expected.rows.size(); ++r) {
    EXPECT_EQ(loaded->rows[r].configuration, expected.rows[r].configuration);
    EXPECT_EQ(loaded->rows[r].ingredients, expected.rows[r].ingredients);
    EXPECT_EQ(loaded->rows[r].label, expected.rows[r].label);
    EXPECT_EQ(loaded->rows[r].latency, expected.rows[r].latency);
    EXPECT_EQ(loaded->rows[r].energy, expected.rows[r].energy);
    EXPECT_EQ(loaded->rows[r].on_front, expected.rows[r].on_front);
  }
  EXPECT_EQ(loaded->search, expected.search);
}

TEST_F(TableFiles, GoldenFilesOfVersion2LoadWithTheirCutsAcrossBranches) {
  const fs::path profile = golden / "profile-v2.bin", table = golden / "table-v2.bin";
  const auto loaded = table::load_profile(profile);
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(*loaded, sample_graph_profile());
  EXPECT_FALSE(loaded->hosts[core::edge_host].made_on.known());
  const auto rows = table::load_table(table);
  ASSERT_TRUE(rows) << rows.error().message();
  EXPECT_EQ(*rows, sample_graph_table());
}

TEST_F(TableFiles, GoldenFilesOfVersion3LoadWithTheirMachines) {
  const fs::path profile = golden / "profile-v3.bin", table = golden / "table-v3.bin";
  if (std::getenv("CLEAVE_WRITE_GOLDEN") != nullptr && !fs::exists(table)) {
    ASSERT_TRUE(save(sample_located_table(), table));
  }
  const auto loaded = table::load_profile(profile);
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(*loaded, sample_located_profile());
  const auto rows = table::load_table(table);
  ASSERT_TRUE(rows) << rows.error().message();
  EXPECT_EQ(*rows, sample_located_table());
}

TEST_F(TableFiles, GoldenProfileOfVersion4LoadsWithItsPredictedSetting) {
  const fs::path profile = golden / "profile-v4.bin";
  const auto loaded = table::load_profile(profile);
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(*loaded, sample_predicted_profile());
}

TEST_F(TableFiles, GoldenProfileOfVersion5LoadsWithItsMemoryAndConditions) {
  const fs::path profile = golden / "profile-v5.bin";
  const auto loaded = table::load_profile(profile);
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(*loaded, sample_observed_profile());
}

TEST_F(TableFiles, GoldenProfileOfVersion6LoadsWithWhereTheInputCrosses) {
  const fs::path profile = golden / "profile-v6.bin";
  if (std::getenv("CLEAVE_WRITE_GOLDEN") != nullptr && !fs::exists(profile)) {
    ASSERT_TRUE(save(sample_private_profile(), profile));
  }
  const auto loaded = table::load_profile(profile);
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(*loaded, sample_private_profile());
}

TEST_F(TableFiles, WrittenBytesAreThoseOfTheGoldenFile) {
  EXPECT_EQ(profile_bytes(), *core::read_file(golden / "profile-v6.bin", 1 << 20));
}

TEST_F(TableFiles, AnyChangedByteIsNoticed) {
  const auto bytes = profile_bytes();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (const std::byte flip : {std::byte{0x01}, std::byte{0x80}, std::byte{0xff}}) {
      auto damaged = bytes;
      damaged[i] ^= flip;
      EXPECT_NE(load_code(damaged), "loaded") << "byte " << i;
    }
  }
}

TEST_F(TableFiles, AnyTruncationIsNoticed) {
  const auto bytes = profile_bytes();
  for (std::size_t length = 0; length < bytes.size(); ++length)
    EXPECT_EQ(load_code(std::span(bytes).first(length)), "corrupt") << length;
}

TEST_F(TableFiles, DamageUnderARightChecksumIsAnErrorOrAValidProfile) {
  const auto bytes = profile_bytes();
  const auto payload = std::span(bytes).subspan(28);
  for (std::size_t i = 0; i < payload.size(); ++i) {
    for (const std::byte flip : {std::byte{0x01}, std::byte{0x80}, std::byte{0xff}}) {
      std::vector<std::byte> damaged(payload.begin(), payload.end());
      damaged[i] ^= flip;
      put("x.bin", framed(damaged));
      const auto loaded = table::load_profile(path("x.bin"));
      if (loaded) {
        EXPECT_TRUE(validate(*loaded));
      } else {
        EXPECT_EQ(loaded.error().code, Errc::corrupt);
      }
    }
  }
}

TEST_F(TableFiles, MissingAndTrailingPayloadUnderARightChecksumIsCorrupt) {
  const auto bytes = profile_bytes();
  std::vector<std::byte> payload(bytes.begin() + 28, bytes.end());
  for (std::size_t length = 0; length < payload.size(); length += 7)
    EXPECT_EQ(load_code(framed(std::span(payload).first(length))), "corrupt") << length;
  payload.push_back(std::byte{0});
  EXPECT_EQ(load_code(framed(payload)), "corrupt");
}

TEST_F(TableFiles, ANewerVersionIsSaidToBeNewer) {
  auto bytes = profile_bytes();
  bytes[8] = static_cast<std::byte>(table::profile_format_version + 1);
  EXPECT_EQ(load_code(bytes), to_string(Errc::version));
  bytes[8] = std::byte{0};
  EXPECT_EQ(load_code(bytes), to_string(Errc::corrupt));
}

TEST_F(TableFiles, OneKindIsNotTakenForTheOther) {
  ASSERT_TRUE(save(sample_table(), path("t.bin")));
  const auto loaded = table::load_profile(path("t.bin"));
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, Errc::corrupt);
  EXPECT_EQ(table::load_table(path("none.bin")).error().code, Errc::not_found);
  EXPECT_EQ(table::load_table(folder_).error().code, Errc::invalid_argument);
}

TEST_F(TableFiles, AFullDiskIsAnError) {
  EXPECT_EQ(save(sample_profile(), "/dev/full").error().code, Errc::io);
}

TEST_F(TableFiles, WhatDoesNotFitTogetherIsNotSavedAndTheOldFileStays) {
  const auto before = profile_bytes();
  auto p = sample_profile();
  p.hosts[0].settings[0].levels[0] = 2;
  EXPECT_EQ(save(p, path("p.bin")).error().code, Errc::invalid_argument);
  EXPECT_EQ(*core::read_file(path("p.bin"), 1 << 20), before);
}

TEST(Validate, NamesTheFirstThingInAProfileThatDoesNotFit) {
  const auto refused = [](auto&& change) {
    auto p = sample_profile();
    change(p);
    const auto valid = validate(p);
    return valid ? std::string() : valid.error().what;
  };
  EXPECT_EQ(refused([](auto&) {}), "");
  EXPECT_NE(refused([](auto& p) { p.cuts.clear(); }), "");
  EXPECT_NE(refused([](auto& p) { p.cuts[0].position = 1; }), "");
  EXPECT_NE(refused([](auto& p) { p.cuts[2].position = 2; }), "");
  EXPECT_NE(refused([](auto& p) { p.cuts[2].id = p.cuts[1].id; }), "");
  EXPECT_NE(refused([](auto& p) { p.cuts[1].codecs.pop_back(); }), "");
  EXPECT_NE(refused([](auto& p) { p.cuts[1].codecs[0].accuracy.value = 1.5; }), "");
  EXPECT_NE(refused([](auto& p) {
              p.cuts[1].codecs[0].accuracy.basis = static_cast<table::Accuracy::Basis>(9);
            }),
            "");
  EXPECT_NE(refused([](auto& p) { p.hosts[0].settings[0].levels = {7}; }), "");
  EXPECT_NE(refused([](auto& p) { p.hosts[0].settings[0].levels.clear(); }), "");
  EXPECT_NE(refused([](auto& p) { p.hosts[1].settings[0].steps.pop_back(); }), "");
  EXPECT_NE(refused([](auto& p) { p.hosts[1].settings[0].codecs.pop_back(); }), "");
  EXPECT_NE(refused([](auto& p) { p.hosts[1].knobs[0].host = 0; }), "");
  EXPECT_NE(refused([](auto& p) { p.hosts[0].knobs[0].levels.clear(); }), "");
  EXPECT_NE(refused([](auto& p) { p.link.round_trip = core::Seconds(-1); }), "");
  EXPECT_NE(refused([](auto& p) { p.link.up = core::BytesPerSecond(NAN); }), "");
  EXPECT_NE(refused([](auto& p) { p.link.sizes[0].bytes = core::Bytes(1e9); }), "");
  // Heads.
  const auto graph = [](auto&& change) {
    auto p = sample_graph_profile();
    change(p.cuts[2]);
    return validate(p).has_value();
  };
  EXPECT_TRUE(graph([](auto&) {}));
  EXPECT_FALSE(graph([](auto& cut) { cut.head = {{0, 2}}; }));
  EXPECT_FALSE(graph([](auto& cut) { cut.head = {{0, 3}}; }));
  EXPECT_FALSE(graph([](auto& cut) { cut.head = {{3, 4}, {0, 2}}; }));
  EXPECT_FALSE(graph([](auto& cut) { cut.head = {{0, 2}, {3, 9}}; }));
  EXPECT_FALSE(graph([](auto& cut) { cut.head = {{0, 1}, {3, 4}}; }));
  EXPECT_FALSE(graph([](auto& cut) { cut.head.clear(), cut.position = 2; }));
  // A profile without a cloud is one that all-edge can be priced from.
  EXPECT_EQ(refused([](auto& p) { p.hosts[1] = {}; }), "");
}

TEST(Validate, NamesTheFirstThingInATableThatDoesNotFit) {
  const auto refused = [](auto&& change) {
    auto t = sample_table();
    change(t);
    const auto valid = validate(t);
    return valid ? std::string() : valid.error().what;
  };
  EXPECT_EQ(refused([](auto&) {}), "");
  EXPECT_EQ(refused([](auto& t) { t.rows.clear(); }), "");
  EXPECT_NE(refused([](auto& t) { t.rows[0].configuration.stages.pop_back(); }), "");
  EXPECT_NE(refused([](auto& t) { t.rows[0].configuration.codecs.clear(); }), "");
  EXPECT_NE(refused([](auto& t) { t.rows[0].configuration.stages[0].levels = {2}; }), "");
  EXPECT_NE(refused([](auto& t) { t.rows[1].configuration.stages[1].levels.clear(); }), "");
  EXPECT_NE(refused([](auto& t) { t.rows[0].energy = core::Joules(9); }), "");
  EXPECT_NE(refused([](auto& t) { t.rows[1].ingredients.up = core::Bytes(-1); }), "");
  EXPECT_NE(refused([](auto& t) { t.rows[0].configuration.stages[0].head = {{0, 2}}; }), "");
  EXPECT_NE(refused([](auto& t) {
              t.rows[0].configuration.stages[1].head = {{0, 2}, {3, 4}};
            }),
            "");
  EXPECT_NE(refused([](auto& t) { t.boundary = static_cast<core::Boundary>(3); }), "");
}

TEST(Export, JsonHoldsTheProfileWithUnitsInTheNames) {
  const auto p = sample_profile();
  const auto json = nlohmann::json::parse(to_json(p));
  EXPECT_EQ(json["model"], "0123456789abcdef-fedcba9876543210");
  EXPECT_EQ(json["cuts"].size(), 4u);
  EXPECT_EQ(json["cuts"][1]["raw_bytes"], 100000);
  EXPECT_EQ(json["cuts"][1]["codecs"][1]["codec"], "int8");
  EXPECT_EQ(json["edge"]["settings"][1]["steps"][4]["mean_s"],
            p.hosts[0].settings[1].steps[4].mean.count());
  EXPECT_EQ(json["link"]["round_trip_s"], 0.010);
}

TEST(Export, JsonTellsMeasuredFromPredicted) {
  const auto json = nlohmann::json::parse(to_json(sample_predicted_profile()));
  EXPECT_EQ(json["edge"]["settings"][0]["predicted"], false);
  EXPECT_EQ(json["edge"]["settings"][1]["predicted"], true);
  EXPECT_EQ(json["edge"]["settings"][1]["relative_interval"], 0.125);
  EXPECT_EQ(json["edge"]["level_fit"]["left_out"], 3);
  EXPECT_EQ(json["prediction_error"]["covered"], 0.93);
  EXPECT_EQ(json["prediction_error_at_predicted_settings"]["relative_interval"], 0.15);
}

TEST(Export, JsonTellsTheMachinesAndLibraries) {
  const auto profile = nlohmann::json::parse(to_json(sample_located_profile()));
  EXPECT_EQ(profile["edge"]["made_on"]["machine"], "camera-1");
  EXPECT_EQ(profile["edge"]["made_on"]["libraries"]["libtorch"], "1.13.1");
  EXPECT_EQ(profile["cloud"]["made_on"]["device"], "cuda:0");
  const auto table = nlohmann::json::parse(to_json(sample_located_table()));
  EXPECT_EQ(table["edge_made_on"]["processor"], "a small processor");
  EXPECT_EQ(table["cloud_made_on"]["cpus"], 64);
}

TEST(Export, JsonOfATableLabelsEveryEnergy) {
  const auto json = nlohmann::json::parse(to_json(sample_table()));
  for (const auto& row : json["rows"]) {
    EXPECT_EQ(row["energy_boundary"], "edge+cloud machine");
    EXPECT_TRUE(row["energy_origin"] == "modelled" || row["energy_origin"] == "measured");
  }
  EXPECT_EQ(json["rows"][1]["configuration"]["stages"][0]["end"], "0000000000001002");
}

TEST(Export, CsvHasALinePerCutAndQuotesWhatNeedsIt) {
  auto p = sample_profile();
  p.cuts[1].layer = "a,\"b\"";
  const std::string csv = to_csv(p);
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 5);
  EXPECT_NE(csv.find("0000000000001001,2,,\"a,\"\"b\"\"\",aten::conv2d,100000,100064,0.92,25080,"
                     "0.905,,\n"),
            std::string::npos)
      << csv;
  EXPECT_NE(csv.find("0000000000001003,5,,classifier,aten::linear,40,,,,,,\n"), std::string::npos);
}

TEST(Export, AHeadAcrossBranchesIsWrittenOut) {
  const auto json = nlohmann::json::parse(to_json(sample_graph_profile()));
  EXPECT_EQ(json["cuts"][2]["head"], nlohmann::json::parse("[[0,2],[3,4]]"));
  EXPECT_FALSE(json["cuts"][1].contains("head"));
  const auto rows = nlohmann::json::parse(to_json(sample_graph_table()));
  EXPECT_EQ(rows["rows"][1]["configuration"]["stages"][0]["head"],
            nlohmann::json::parse("[[0,2],[3,4]]"));
  EXPECT_NE(to_csv(sample_graph_profile())
                .find("0000000000002001,3,0-1 3,\"block: branch1, branch2.0\",aten::conv2d,30000,"),
            std::string::npos);
  EXPECT_NE(to_csv(sample_graph_table()).find("0000000000002001,0-1 3,int8"), std::string::npos);
}

TEST(Export, CsvHasALinePerRowWithTheKnobsLevels) {
  const std::string csv = to_csv(sample_table());
  EXPECT_NE(csv.find("features.3 int8 | 100 %,0.02675,0.5,edge+cloud machine,measured,0.91,"
                     "agreement,0,0000000000001002,,int8,100 %,fast\n"),
            std::string::npos)
      << csv;
}

}  // namespace
