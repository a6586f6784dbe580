// For simulation only: runs every sum of every table, and compares levels and numbers of clocks.
// With SAR_DUMP it leaves that out, and writes down what the controller's nets do.
//
// `words.hex` has the words of all tables, WORDS to each, x where a table has fewer; `expected.hex` for
// each table and sum {comparisons, escape, level, half}; `sums.hex`, if STREAM, pairs
// {table, sum - LOWEST} to run after.
`timescale 1ns / 1ps
module bench;
  parameter TABLES = 1;
  parameter VALUES = 2;
  parameter LOWEST = 0;
  parameter STREAM = 0;

  reg clk = 0, start = 0, write = 0;
  reg [31:0] write_address = 0;
  reg [`WORD-1:0] word = 0;
  reg signed [31:0] sum;
  wire [`BITS-1:0] dac, level;
  wire cmp, done, half, escape;
  `CONTROLLER
  front_end #(.BITS(`BITS), .SIGNED(`SIGNED)) front (.sum(sum), .dac(dac), .cmp(cmp));

  reg [`WORD-1:0] words[0:TABLES*`WORDS-1];
  reg [`BITS+9:0] expected[0:TABLES*VALUES-1];
  reg [63:0] stream[0:(STREAM ? STREAM : 1)-1];
  integer table_at, value, k, clocks, wrong, conversions, loaded, seed, idle;
  reg loading = 0;
  always #5 clk = ~clk;

  task load(input integer of);
    begin
      if (of != loaded) begin
        loading = 1;
        for (k = 0; k < `WORDS; k = k + 1)
          if (^words[of*`WORDS+k] !== 1'bx) begin
            @(negedge clk);
            write_address = k;
            word = words[of*`WORDS+k];
            #1 write = 1;
            #1 write = 0;
          end
        loaded = of;
        #1 loading = 0;
      end
    end
  endtask

  task convert(input integer of, input integer at);
    begin
      load(of);
      @(negedge clk) start = 1;
      sum = LOWEST + at;
      @(negedge clk) start = 0;
      clocks = 0;
      while (done !== 1'b1 && clocks < 300) begin
        @(negedge clk) clocks = clocks + 1;
      end
`ifndef SAR_DUMP
      // The level holds, whatever the comparator says, for as long as nothing starts.
      seed = seed * 1103515245 + 12345;
      idle = (seed >> 16) & 3;
      repeat (idle) begin
        @(negedge clk) sum = ~sum;
      end
`endif
      conversions = conversions + 1;
      if (done !== 1'b1
          || {clocks[7:0], escape, level, half} !== expected[of*VALUES+at]
             && !(escape && {clocks[7:0], 1'b1} === expected[of*VALUES+at][`BITS+9:`BITS+1])) begin
        wrong = wrong + 1;
        if (wrong <= 10)
          $display("WRONG table %0d sum %0d: %0d clocks, level %b half %b escape %b, not %b", of,
                   LOWEST + at, clocks, level, half, escape, expected[of*VALUES+at]);
      end
    end
  endtask

  initial begin
    $readmemh("words.hex", words);
    $readmemh("expected.hex", expected);
    if (STREAM) $readmemh("sums.hex", stream);
    wrong = 0;
    conversions = 0;
    loaded = -1;
    seed = 1;
`ifdef SAR_DUMP
    $dumpfile("nets.vcd");
    $dumpvars(1, controller);
    $dumpvars(0, loading);
`else
    for (table_at = 0; table_at < TABLES; table_at = table_at + 1)
      for (value = 0; value < VALUES; value = value + 1) convert(table_at, value);
`endif
    for (value = 0; value < STREAM; value = value + 1)
      convert(stream[value][63:32], stream[value][31:0]);
    $display("CONVERSIONS %0d WRONG %0d", conversions, wrong);
    $finish;
  end
endmodule
