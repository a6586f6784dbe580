// For proof only: a register whose clock is gated beside one that has an enable. What is taken in may
// change while the clock is low, and holds from its rise on, as behind flip-flops of the same clock.
module gates (
    input wire clk,
    input wire enable,
    input wire d
);
  wire q;
  gated_register #(.BITS(1)) gated (.clk(clk), .enable(enable), .d(d), .q(q));
  reg plain, same = 0;
  always @(posedge clk) begin
    if (enable) plain <= d;
    if (enable) same <= 1;
  end
  always @* if (same) assert (q == plain);
endmodule
