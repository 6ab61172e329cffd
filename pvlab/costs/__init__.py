"""What it cost: published cycle costs as data (the TOML files), and runs priced by them.

model.py    a cost model: cells that price, and published figures to set predictions beside
reader.py   reads and checks the files
pricing.py  a bill: a run priced by a model
"""
from pvlab.costs.model import Cell, CostError, CostModel, Figure
from pvlab.costs.pricing import Bill, Line, bill
from pvlab.costs.reader import cost_model, cost_models, load

__all__ = ["Bill", "Cell", "CostError", "CostModel", "Figure", "Line", "bill", "cost_model", "cost_models", "load"]
