"""uplift"""
