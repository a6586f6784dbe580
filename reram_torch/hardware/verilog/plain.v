// A plain SAR: BITS comparisons, step 1.
module sar_plain #(
    parameter BITS = 8,
    parameter SIGNED = 0  // sums can be negative: codes are two's complement
) (
    input  wire            clk,
    input  wire            start,
    input  wire            cmp,    // the sum is above `dac`
    output wire [BITS-1:0] dac,
    output wire            done,
    output wire [BITS-1:0] level,
    output wire            half    // the level is half a unit less; a plain SAR's never
);
  wire [BITS:0] bits, ones;
  sar_sequence #(.BITS(BITS)) sequence (
      .clk(clk), .load(start), .enable(start | ~done), .cmp(cmp),
      .first({1'b0, {BITS{1'b1}}}), .bits(bits), .ones(ones)
  );
  assign done = ~bits[0];
  assign dac = {bits[BITS] ^ (SIGNED != 0), bits[BITS-1:1]};
  assign level = dac;
  assign half = 1'b0;
endmodule
