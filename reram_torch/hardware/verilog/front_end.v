// For simulation only: comparator and digital-to-analog converter, without noise or delay.
// The code stands for the point between two sums, half a unit above itself.
module front_end #(
    parameter BITS = 8,
    parameter SIGNED = 0
) (
    input  wire signed [31:0] sum,
    input  wire [BITS-1:0]    dac,
    output wire               cmp
);
  wire signed [BITS:0] shown = {(SIGNED != 0) & dac[BITS-1], dac};
  assign cmp = sum > shown;
endmodule
