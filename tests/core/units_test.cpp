#include <cleave/core/energy.hpp>
#include <cleave/core/units.hpp>

#include <gtest/gtest.h>

#include <type_traits>

namespace {

using namespace cleave::core;

template <class A, class B>
concept Addable = requires(A a, B b) {
  a + b;
};

TEST(Units, QuantitiesOfDifferentUnitsDoNotMix) {
  static_assert(Addable<Seconds, Seconds>);
  static_assert(!Addable<Seconds, Joules>);
  static_assert(!Addable<Watts, double>);
  static_assert(!std::is_convertible_v<double, Seconds>);
  static_assert(!std::is_convertible_v<Seconds, double>);
}

TEST(Units, ProductsAndQuotientsHaveTheUnitsOfPhysics) {
  EXPECT_EQ(Watts(3) * Seconds(2), Joules(6));
  EXPECT_EQ(Seconds(2) * Watts(3), Joules(6));
  EXPECT_EQ(Joules(6) / Seconds(2), Watts(3));
  EXPECT_EQ(Bytes(10) / BytesPerSecond(4), Seconds(2.5));
  EXPECT_EQ(Bytes(10) / Seconds(2.5), BytesPerSecond(4));
  EXPECT_EQ(JoulesPerByte(0.5) * Bytes(8), Joules(4));
  EXPECT_EQ(Seconds(6) / Seconds(4), 1.5);
}

TEST(Units, ArithmeticIsThatOfDoubles) {
  Seconds t(1);
  t += Seconds(2);
  t -= Seconds(0.5);
  EXPECT_EQ(t, Seconds(2.5));
  EXPECT_EQ(-t, Seconds(-2.5));
  EXPECT_EQ(t * 2, 2 * t);
  EXPECT_EQ(t / 5, Seconds(0.5));
  EXPECT_LT(Seconds(1), Seconds(2));
  EXPECT_EQ(Seconds().count(), 0);
}

TEST(Units, LinkRatesAreDecimalMegabits) {
  EXPECT_EQ(megabits_per_second(20), BytesPerSecond(2'500'000));
  EXPECT_DOUBLE_EQ(milliseconds(1500).count(), 1.5);
  EXPECT_DOUBLE_EQ(microseconds(1500).count(), 0.0015);
}

TEST(Energy, SaysWhoseItIsAndWhereTheFigureComesFrom) {
  EXPECT_EQ(to_string(Boundary::edge), "edge");
  EXPECT_EQ(to_string(Boundary::edge_cloud_device), "edge+cloud device");
  EXPECT_EQ(to_string(Boundary::edge_cloud_machine), "edge+cloud machine");
  EXPECT_EQ(to_string(Origin::measured), "measured");
  EXPECT_EQ(to_string(Origin::modelled), "modelled");
  EXPECT_EQ(Energy{}.origin, Origin::modelled);  // what nobody measured is not called measured
}

}  // namespace
